package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

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

	// setup is held while a script is run that serves all backups of the project.
	setup chan struct{}

	mu sync.Mutex
	// recent is what was read since the last write of this process, first what was read
	// before the first one; wrote says that there was one.
	recent, first view
	wrote         bool
	// changed are the backups on which this process has acquired the lease.
	changed map[backup.Name]bool
	// leasable says that this process has prepared the lease, scripts counts how often it
	// has run each script that serves all backups of the project.
	leasable bool
	scripts  map[string]int
	// whole is when the dispatcher was last found whole under a lease, or made so.
	whole time.Time
	// facts are what was read of the project to check plans, by what was asked.
	facts map[string]**reading[facts.Document]
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

// view is what was read of a project at one time.
type view struct {
	functions *reading[[]supabase.Function]
	secrets   *reading[[]supabase.Secret]
	database  *reading[projectRead]
}

// projectRead is the database's part of all backups, and its rules of time zones: of
// those in the settings, and of asked as far as the database knows them.
type projectRead struct {
	backups map[backup.Name]backup.Observation
	// mentions reports whether there may be something of a backup that is not among them.
	mentions func(backup.Name) bool
	rules    schedule.Rules
	asked    []string
}

// A reading is one read, running or done. Its result is valid once done is closed.
type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// Functions lists the project's Edge Functions. The list is shared and must
// not be changed.
func (s *shared) Functions(ctx context.Context, v *view) ([]supabase.Function, error) {
	r, err := join(ctx, s, &v.functions, func(ctx context.Context) ([]supabase.Function, error) {
		return s.api.ListFunctions(ctx, s.ref)
	})
	return r.value, err
}

// Secrets lists the project's function secrets with their digests. The list is
// shared and must not be changed.
func (s *shared) Secrets(ctx context.Context, v *view) ([]supabase.Secret, error) {
	r, err := join(ctx, s, &v.secrets, func(ctx context.Context) ([]supabase.Secret, error) {
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
// everybody who asked before it was sent, for every backup that has a settings row, and
// for every one of which the project has nothing.
func (s *shared) Database(ctx context.Context, v *view, name backup.Name) (backup.Observation, error) {
	s.mu.Lock()
	s.asked[name] = true
	s.mu.Unlock()
	for {
		r, err := join(ctx, s, &v.database, s.readDatabase)
		if err != nil {
			return backup.Observation{}, err
		}
		if found, ok := r.value.backups[name]; ok {
			return found, nil
		}
		if !r.value.mentions(name) {
			return r.value.backups[facts.Unmentioned], nil
		}
		// The statement was sent before this name was asked for, and the
		// backup is not installed. The next statement has it.
		s.drop(v, r)
	}
}

// drop forgets what the database said, unless somebody has asked again since.
func (s *shared) drop(v *view, r *reading[projectRead]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.database == r {
		v.database = nil
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
		v := s.early()
		r, err := join(ctx, s, &v.database, s.readDatabase)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(zones, func(zone string) bool {
			return r.value.rules[zone] == nil && !slices.Contains(r.value.asked, zone)
		}) {
			return r.value.rules, nil
		}
		s.drop(v, r)
	}
}

// KnownZoneChanges are the database's rules of time zones as far as the database was
// read in this run.
func (s *shared) KnownZoneChanges() schedule.Rules {
	s.mu.Lock()
	r := s.recent.database
	if r == nil {
		r = s.first.database
	}
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

// observed are the parts of an observation of one backup. What they read has to be readable: a
// job that one may not see must not count as missing.
var observed = []facts.Part{
	"extensions", "installation", "backups", "functions", "rpcs", "drift", "log_checks", "jobs", "settings", "vault", "token_digest", "key_digest", "channel_digests",
	"lease",
}

// observeOne reads the database's part of one backup. With known, the dispatcher is not
// compared with its version, which was done a short time ago.
func (s *shared) observeOne(ctx context.Context, db facts.Querier, name backup.Name, known bool) (backup.Observation, error) {
	parts := observed
	if known {
		// In a new connection these take as long as all others together.
		parts = slices.DeleteFunc(slices.Clone(observed), func(part facts.Part) bool { return part == "functions" || part == "drift" })
	}
	found, err := facts.Ask(ctx, db, facts.Request{
		Parts: parts, Backups: []backup.Name{name}, Strict: true, Parameters: map[string]any{"trusted": payload.LoadDispatcher().Trusted},
	})
	if err != nil {
		return backup.Observation{}, err
	}
	own, ok := found.Each[name]
	if !ok {
		return backup.Observation{}, fmt.Errorf("the database's answer has an unexpected form: it lacks backup %s", name)
	}
	if known {
		dispatcher := payload.LoadDispatcher()
		if found.Installation == nil || found.Installation.Version != dispatcher.Version {
			s.setWhole(time.Time{})
			return backup.Observation{}, errors.New("the dispatcher is not the one that it was a short time ago")
		}
		found.Functions, found.Drift = dispatcher.Functions, map[string]string{}
	}
	return backup.Observation{ProjectObservation: found.ProjectObservation, OwnObservation: own.OwnObservation}, nil
}

// Ask asks the database for facts, once in a run for all who ask for the same. The document
// is shared and must not be changed.
func (s *shared) Ask(ctx context.Context, request facts.Request) (facts.Document, error) {
	question, err := json.Marshal(request)
	if err != nil {
		return facts.Document{}, err
	}
	s.mu.Lock()
	slot := s.facts[string(question)]
	if slot == nil {
		slot = new(*reading[facts.Document])
		s.facts[string(question)] = slot
	}
	s.mu.Unlock()
	r, err := join(ctx, s, slot, func(ctx context.Context) (facts.Document, error) { return facts.Ask(ctx, s.db, request) })
	return r.value, err
}

// readDatabase reads the database's part of all backups that are installed or were
// asked for.
func (s *shared) readDatabase(ctx context.Context) (projectRead, error) {
	s.mu.Lock()
	names, zones := slices.Sorted(maps.Keys(s.asked)), slices.Sorted(maps.Keys(s.zones))
	s.mu.Unlock()
	others, err := json.Marshal(append([]string{}, zones...))
	if err != nil {
		return projectRead{}, err
	}
	found, err := facts.Ask(ctx, s.db, facts.Request{
		// The last ones serve backups that nobody has asked for yet.
		Parts:   append(slices.Clone(observed), "zone_changes", "vault_names", "leased"),
		Backups: append([]backup.Name{facts.Unmentioned}, names...), Installed: true, Strict: true,
		Parameters: map[string]any{"trusted": payload.LoadDispatcher().Trusted, "zones": string(others)},
	})
	if err != nil {
		return projectRead{}, err
	}
	// Most projects have the same functions, and these are kept for the whole run.
	if own := payload.LoadDispatcher().Functions; maps.Equal(found.Functions, own) {
		found.Functions = own
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
	found.Each = nil
	return projectRead{backups: all, mentions: found.Mentions, rules: found.ZoneChanges, asked: zones}, nil
}

// forget makes the next caller read again.
func (s *shared) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent = view{}
}

// early is what serves an apply before it has the lease.
func (s *shared) early() *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrote {
		return &s.first
	}
	return &s.recent
}

// ran returns how often this process has run each script.
func (s *shared) ran() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.scripts)
}

// runOnce runs a script, unless it was run since before was returned by ran: then another
// apply of this process has done what both found missing.
func (s *shared) runOnce(ctx context.Context, name string, before map[string]int, run func() error) error {
	return s.settingUp(ctx, func() error {
		if s.ran()[name] > before[name] {
			return nil
		}
		err := run()
		if err == nil {
			s.mu.Lock()
			s.scripts[name]++
			s.mu.Unlock()
		}
		return err
	})
}

// prepareLease prepares the lease, unless this process has done so.
func (s *shared) prepareLease(ctx context.Context, run func() error) error {
	return s.settingUp(ctx, func() error {
		if s.isLeasable() {
			return nil
		}
		err := run()
		s.setLeasable(err == nil)
		return err
	})
}

func (s *shared) isLeasable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leasable
}

func (s *shared) setLeasable(leasable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leasable = leasable
}

// isWhole reports whether the dispatcher was found whole so short a time ago that it is taken
// for that, if its version is still the same. Whoever changes it meanwhile might as well do so
// after an apply has looked; the next plan sees it.
func (s *shared) isWhole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.whole) < time.Minute
}

// compared notes whether the dispatcher was whole in an observation that was asked for at a
// time.
func (s *shared) compared(found backup.State, at time.Time) {
	if found.DispatcherVersion != payload.LoadDispatcher().Version || len(found.DispatcherDrift()) > 0 {
		at = time.Time{}
	}
	s.setWhole(at)
}

// setWhole notes when the dispatcher was found whole; zero: it may not be.
func (s *shared) setWhole(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = at
}

// settingUp calls run while no other script runs that serves all backups.
func (s *shared) settingUp(ctx context.Context, run func() error) error {
	select {
	case s.setup <- struct{}{}:
		defer func() { <-s.setup }()
	case <-ctx.Done():
		return fmt.Errorf("wait for another change of this database: %w", ctx.Err())
	}
	return run()
}

// change notes that this process is about to change a backup.
func (s *shared) change(name backup.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed[name] = true
}

func (s *shared) hasChanged(name backup.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[name]
}

// writing is called before a write to the project; what it returns, after it.
func (s *shared) writing() (done func()) {
	s.mu.Lock()
	if !s.wrote {
		s.wrote, s.first = true, s.recent
	}
	s.mu.Unlock()
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
