package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// shared is what one process has read of a project in one run. Whatever is
// asked for at the same time, or again later, is read once: the functions, the
// secrets, and the database's part of all backups in one statement.
//
// What was read is forgotten when this process writes to the project, at the
// beginning of the write and at its end, so nothing that was read before or
// during a write is returned after it. A read that failed is not remembered. If
// the caller doing the read is cancelled, one of the waiters takes over.
type shared struct {
	ref string
	api API
	db  postgres.DB

	// statements is how many statements that write may run at once; a script
	// takes all of it.
	statements *semaphore.Weighted

	mu        sync.Mutex
	functions *reading[[]supabase.Function]
	secrets   *reading[[]supabase.Secret]
	database  *reading[projectRead]
	// These are not forgotten, as nothing that is written here changes them: the
	// project's API keys, the platform's backups, and what the token and the role may do.
	keys                               *reading[[]supabase.APIKey]
	backups                            *reading[supabase.Backups]
	mayWriteFunctions, mayWriteSecrets *reading[struct{}]
	role                               *reading[databaseRole]
	// asked are the names of all backups that were asked for, zones the time zones.
	asked map[backup.Name]bool
	zones map[string]bool
}

// projectRead is the database's part of all backups, and its rules of time zones: of
// those in the settings, and of asked as far as the database knows them.
type projectRead struct {
	backups map[backup.Name]backup.Observation
	rules   schedule.Rules
	asked   []string
}

// A reading is one read, running or done. Its result is valid once done is closed.
type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// Functions lists the project's Edge Functions. The list is shared and must
// not be changed.
func (s *shared) Functions(ctx context.Context) ([]supabase.Function, error) {
	r, err := join(ctx, s, &s.functions, func(ctx context.Context) ([]supabase.Function, error) {
		return s.api.ListFunctions(ctx, s.ref)
	})
	return r.value, err
}

// Secrets lists the project's function secrets with their digests. The list is
// shared and must not be changed.
func (s *shared) Secrets(ctx context.Context) ([]supabase.Secret, error) {
	r, err := join(ctx, s, &s.secrets, func(ctx context.Context) ([]supabase.Secret, error) {
		return s.api.ListSecrets(ctx, s.ref)
	})
	return r.value, err
}

// APIKeys lists the project's API keys. The list is shared and must not be changed.
func (s *shared) APIKeys(ctx context.Context) ([]supabase.APIKey, error) {
	r, err := join(ctx, s, &s.keys, func(ctx context.Context) ([]supabase.APIKey, error) {
		return s.api.APIKeys(ctx, s.ref)
	})
	return r.value, err
}

// Backups are the platform's backups of the project.
func (s *shared) Backups(ctx context.Context) (supabase.Backups, error) {
	r, err := join(ctx, s, &s.backups, func(ctx context.Context) (supabase.Backups, error) {
		return s.api.Backups(ctx, s.ref)
	})
	return r.value, err
}

// Database is the database's part of one backup. One statement answers for
// everybody who asked before it was sent, and for every backup that has a
// settings row.
func (s *shared) Database(ctx context.Context, name backup.Name) (backup.Observation, error) {
	s.mu.Lock()
	s.asked[name] = true
	s.mu.Unlock()
	for {
		r, err := join(ctx, s, &s.database, s.readDatabase)
		if err != nil {
			return backup.Observation{}, err
		}
		if found, ok := r.value.backups[name]; ok {
			return found, nil
		}
		// The statement was sent before this name was asked for, and the
		// backup is not installed. The next statement has it.
		s.drop(r)
	}
}

// drop forgets what the database said, unless somebody has asked again since.
func (s *shared) drop(r *reading[projectRead]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.database == r {
		s.database = nil
	}
}

// ZoneChanges are the database's rules of time zones, for a backup that may not be
// installed. A zone that the database does not know is not among them.
func (s *shared) ZoneChanges(ctx context.Context, name backup.Name, zones []string) (schedule.Rules, error) {
	s.mu.Lock()
	s.asked[name] = true
	for _, zone := range zones {
		s.zones[zone] = true
	}
	s.mu.Unlock()
	for {
		r, err := join(ctx, s, &s.database, s.readDatabase)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(zones, func(zone string) bool {
			return r.value.rules[zone] == nil && !slices.Contains(r.value.asked, zone)
		}) {
			return r.value.rules, nil
		}
		s.drop(r)
	}
}

// KnownZoneChanges are the database's rules of time zones as far as the database was
// read in this run.
func (s *shared) KnownZoneChanges() schedule.Rules {
	s.mu.Lock()
	r := s.database
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	select {
	case <-r.done:
		return r.value.rules
	default:
		return nil
	}
}

// observed are the parts of an observation. What they read has to be readable: a
// job that one may not see must not count as missing.
var observed = []facts.Part{
	"extensions", "installation", "backups", "functions", "rpcs", "drift", "log_checks", "jobs", "settings", "vault", "token_digest", "key_digest", "channel_digests",
	"lease", "zone_changes",
}

// readDatabase reads the database's part of all backups that are installed or were
// asked for.
func (s *shared) readDatabase(ctx context.Context) (projectRead, error) {
	s.mu.Lock()
	names, zones := slices.Sorted(maps.Keys(s.asked)), slices.Sorted(maps.Keys(s.zones))
	s.mu.Unlock()
	trusted, err := json.Marshal(payload.LoadDispatcher().Functions)
	if err != nil {
		return projectRead{}, err
	}
	others, err := json.Marshal(append([]string{}, zones...))
	if err != nil {
		return projectRead{}, err
	}
	found, err := facts.Ask(ctx, s.db, facts.Request{
		Parts:   observed,
		Backups: names, Installed: true, Strict: true,
		Parameters: map[string]any{"trusted": string(trusted), "zones": string(others)},
	})
	if err != nil {
		return projectRead{}, err
	}
	all := make(map[backup.Name]backup.Observation, len(found.Each))
	for name, own := range found.Each {
		all[name] = backup.Observation{ProjectObservation: found.ProjectObservation, OwnObservation: own.OwnObservation}
	}
	for _, name := range names {
		if _, ok := all[name]; !ok {
			return projectRead{}, fmt.Errorf("the database's answer has an unexpected form: it lacks backup %s", name)
		}
	}
	return projectRead{backups: all, rules: found.ZoneChanges, asked: zones}, nil
}

// forget makes the next caller read again.
func (s *shared) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.functions, s.secrets, s.database = nil, nil, nil
}

// writing is called before a write to the project; what it returns, after it.
func (s *shared) writing() (done func()) {
	s.forget()
	return s.forget
}

// join waits for the read in slot, or starts one.
func join[T any](ctx context.Context, s *shared, slot **reading[T], read func(context.Context) (T, error)) (*reading[T], error) {
	for {
		s.mu.Lock()
		r := *slot
		mine := r == nil
		if mine {
			r = &reading[T]{done: make(chan struct{})}
			*slot = r
		}
		s.mu.Unlock()
		if mine {
			r.value, r.err = read(ctx)
			if r.err != nil {
				s.mu.Lock()
				if *slot == r {
					*slot = nil
				}
				s.mu.Unlock()
			}
			close(r.done)
			return r, r.err
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return &reading[T]{}, ctx.Err()
		}
		// The caller that read may have been cancelled, or have had less time.
		gaveUp := errors.Is(r.err, context.Canceled) || errors.Is(r.err, context.DeadlineExceeded)
		if !gaveUp || ctx.Err() != nil {
			return r, r.err
		}
	}
}

// watchedAPI is the Management API, whose writes clear the shared reads. It does not
// embed API, so a method that is added there has to be put among the reads or the
// writes here.
type watchedAPI struct{ shared *shared }

// Reads. Those that a write here may change are not shared.

func (w watchedAPI) ListFunctions(ctx context.Context, ref string) ([]supabase.Function, error) {
	return w.shared.api.ListFunctions(ctx, ref)
}

func (w watchedAPI) ListSecrets(ctx context.Context, ref string) ([]supabase.Secret, error) {
	return w.shared.api.ListSecrets(ctx, ref)
}

func (w watchedAPI) FunctionSource(ctx context.Context, ref, slug string) (supabase.Source, error) {
	return w.shared.api.FunctionSource(ctx, ref, slug)
}

func (w watchedAPI) APIKeys(ctx context.Context, _ string) ([]supabase.APIKey, error) {
	return w.shared.APIKeys(ctx)
}

func (w watchedAPI) Backups(ctx context.Context, _ string) (supabase.Backups, error) {
	return w.shared.Backups(ctx)
}

func (w watchedAPI) MayWriteFunctions(ctx context.Context, ref string) error {
	_, err := join(ctx, w.shared, &w.shared.mayWriteFunctions, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.shared.api.MayWriteFunctions(ctx, ref)
	})
	return err
}

func (w watchedAPI) MayWriteSecrets(ctx context.Context, ref string) error {
	_, err := join(ctx, w.shared, &w.shared.mayWriteSecrets, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.shared.api.MayWriteSecrets(ctx, ref)
	})
	return err
}

// Writes.

func (w watchedAPI) DeployFunction(ctx context.Context, ref string, d supabase.Deployment) (supabase.Function, error) {
	defer w.shared.writing()()
	return w.shared.api.DeployFunction(ctx, ref, d)
}

func (w watchedAPI) UpdateFunction(ctx context.Context, ref, slug string, u supabase.FunctionUpdate) (supabase.Function, error) {
	defer w.shared.writing()()
	return w.shared.api.UpdateFunction(ctx, ref, slug, u)
}

func (w watchedAPI) DeleteFunction(ctx context.Context, ref, slug string) error {
	defer w.shared.writing()()
	return w.shared.api.DeleteFunction(ctx, ref, slug)
}

func (w watchedAPI) SetSecrets(ctx context.Context, ref string, values map[string]string) error {
	defer w.shared.writing()()
	return w.shared.api.SetSecrets(ctx, ref, values)
}

func (w watchedAPI) DeleteSecrets(ctx context.Context, ref string, names []string) error {
	defer w.shared.writing()()
	return w.shared.api.DeleteSecrets(ctx, ref, names)
}

// watchedDB is the database, whose writes clear the shared reads. A script runs
// while no statement of this process writes: it locks tables that others have
// begun to lock, and they would deadlock.
type watchedDB struct{ shared *shared }

// mostStatements is more than Terraform ever has at once.
const mostStatements = 1 << 20

func (w watchedDB) Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	if access == postgres.ReadOnly {
		return w.shared.db.Query(ctx, access, sql, args...)
	}
	if err := w.shared.statements.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait for another change of this database: %w", err)
	}
	defer w.shared.statements.Release(1)
	defer w.shared.writing()()
	return w.shared.db.Query(ctx, access, sql, args...)
}

func (w watchedDB) QueryAfter(ctx context.Context, first postgres.Statement, sql string, args ...any) (json.RawMessage, error) {
	if err := w.shared.statements.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("wait for another change of this database: %w", err)
	}
	defer w.shared.statements.Release(1)
	defer w.shared.writing()()
	return w.shared.db.QueryAfter(ctx, first, sql, args...)
}

func (w watchedDB) Exec(ctx context.Context, script string) error {
	if err := w.shared.statements.Acquire(ctx, mostStatements); err != nil {
		return fmt.Errorf("wait for other changes of this database: %w", err)
	}
	defer w.shared.statements.Release(mostStatements)
	defer w.shared.writing()()
	return w.shared.db.Exec(ctx, script)
}

func (w watchedDB) Close(ctx context.Context) error { return w.shared.db.Close(ctx) }
