package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/source"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/redact"
)

// API is what a backup needs of the Management API. *supabase.Client has it.
type API interface {
	ListFunctions(ctx context.Context, ref string) ([]supabase.Function, error)
	FunctionSource(ctx context.Context, ref, slug string) (supabase.Source, error)
	DeployFunction(ctx context.Context, ref string, d supabase.Deployment) (supabase.Function, error)
	UpdateFunction(ctx context.Context, ref, slug string, u supabase.FunctionUpdate) (supabase.Function, error)
	DeleteFunction(ctx context.Context, ref, slug string) error
	ListSecrets(ctx context.Context, ref string) ([]supabase.Secret, error)
	SetSecrets(ctx context.Context, ref string, values map[string]string) error
	DeleteSecrets(ctx context.Context, ref string, names []string) error
	APIKeys(ctx context.Context, ref string) ([]supabase.APIKey, error)
	Backups(ctx context.Context, ref string) (supabase.Backups, error)
	// MayWriteFunctions and MayWriteSecrets return an error if the token may not
	// change the project's functions or secrets. They change nothing.
	MayWriteFunctions(ctx context.Context, ref string) error
	MayWriteSecrets(ctx context.Context, ref string) error
}

// Service observes, installs and removes backups in one project. It is safe
// for use by several goroutines as long as each writes to its own backup.
//
// What is read to refresh and to plan is read once for all backups of the
// project; see ObserveCached and shared. API and DB bypass that cache, and writes
// through them clear it.
type Service struct {
	// Ref is the project's reference.
	Ref string
	API watchedAPI
	DB  watchedDB
	// Process names this process to people whose apply has to wait for it.
	Process string
	// LeaseTime is how long another apply has to wait for this one if it dies;
	// zero means DefaultLeaseTime.
	LeaseTime time.Duration
	// Now is the clock by which a lease expires; nil means time.Now.
	Now func() time.Time
	// Log receives what the service waits for and repeats. Nothing in it is
	// secret. It may be nil.
	Log *slog.Logger

	shared *shared
	// runtime is nil on the platform; see SelfHosted.
	runtime Runtime
}

// NewService makes the Service of a project. The DB stays the caller's to close.
func NewService(ref string, api API, db postgres.DB) *Service {
	s := &shared{
		ref: ref, api: api, db: db, asked: map[backup.Name]bool{}, zones: map[string]bool{}, changed: map[backup.Name]bool{},
		facts:      map[string]**reading[facts.Document]{},
		statements: semaphore.NewWeighted(mostStatements), setup: make(chan struct{}, 1), scripts: map[string]int{},
	}
	return &Service{Ref: ref, API: watchedAPI{s}, DB: watchedDB{s}, shared: s}
}

// Observe reads one backup as it is in the project now: one SQL statement and
// two API reads, made at the same time; then the project's API keys, if the vault has
// the watchdog's key; and the function's source when it was deployed since it was last
// known. Nothing is written.
//
// Call it to see what others wrote.
func (s *Service) Observe(ctx context.Context, name backup.Name, known backup.Known) (backup.State, error) {
	s.shared.forget()
	return s.ObserveCached(ctx, name, known)
}

// ObserveCached is Observe for a refresh and for a plan: it may return what this
// run has already read. All its callers for one project share three API reads and
// one SQL statement, until this process writes to the project.
func (s *Service) ObserveCached(ctx context.Context, name backup.Name, known backup.Known) (backup.State, error) {
	return s.observeIn(ctx, &s.shared.recent, name, known)
}

// ObserveFirst is ObserveCached for plans, and for applies, which observe again when they
// have the lease: it may return what this run has read before its first write to the
// project. So the applies of many backups of a project share these reads, as do the plans
// that Terraform makes again before each. What this run has begun to change it reads again.
func (s *Service) ObserveFirst(ctx context.Context, name backup.Name, known backup.Known) (backup.State, error) {
	if s.shared.hasChanged(name) {
		return s.Observe(ctx, name, known)
	}
	return s.observeIn(ctx, s.shared.early(), name, known)
}

func (s *Service) observeIn(ctx context.Context, v *view, name backup.Name, known backup.Known) (backup.State, error) {
	return s.observe(ctx, v, name, known, func(ctx context.Context) (backup.Observation, error) { return s.shared.Database(ctx, v, name) })
}

// observe reads one backup: the database's part with ask, and the rest unless v has it.
func (s *Service) observe(
	ctx context.Context, v *view, name backup.Name, known backup.Known, ask func(context.Context) (backup.Observation, error),
) (backup.State, error) {
	var (
		state     = backup.State{ID: backup.ID{ProjectRef: s.Ref, Name: name}}
		database  backup.Observation
		functions []supabase.Function
		secrets   []supabase.Secret
	)
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() (err error) { database, err = ask(reading); return err })
	group.Go(func() (err error) { functions, err = s.shared.Functions(reading, v); return err })
	group.Go(func() (err error) { secrets, err = s.shared.Secrets(reading, v); return err })
	err := group.Wait()
	if err != nil {
		return backup.State{}, fmt.Errorf("read backup %s: %w", state.ID, err)
	}

	database.Fill(&state, known)
	state.Secrets = map[string]string{}
	for _, secret := range secrets {
		state.Secrets[secret.Name] = secret.Digest
	}
	state.Token.Function = state.Secrets[name.TokenSecret()]
	state.Token.Next = state.Secrets[name.NextTokenSecret()]

	if state.AlertKey.Vault != "" {
		keys, err := s.PublicKeys(ctx)
		if err != nil {
			return backup.State{}, fmt.Errorf("read backup %s: %w", state.ID, err)
		}
		state.AlertKey.Project, state.AlertKey.Legacy = keys.First, keys.Legacy
	}

	served := func(f supabase.Function) bool { return f.Slug == name.Slug() && f.Status != "REMOVED" }
	at := slices.IndexFunc(functions, served)
	if at < 0 {
		return state, nil
	}
	function, err := s.observeFunction(ctx, functions[at], known)
	if errors.Is(err, supabase.ErrNotFound) {
		// Somebody may have removed it since it was listed.
		if functions, again := s.API.ListFunctions(ctx, s.Ref); again == nil && !slices.ContainsFunc(functions, served) {
			return state, nil
		}
	}
	if err != nil {
		return backup.State{}, fmt.Errorf("read backup %s: %w", state.ID, err)
	}
	state.Function = &function
	return state, nil
}

func (s *Service) observeFunction(ctx context.Context, f supabase.Function, known backup.Known) (backup.FunctionState, error) {
	state := backup.FunctionState{
		ID: f.ID, Name: f.Name, Status: f.Status, VerifyJWT: f.VerifyJWT,
		Entrypoint: source.Entrypoint, Revision: revision(f), Files: known.Files, Changes: known.Changes,
	}
	if f.EntrypointPath != "" {
		state.Entrypoint = path.Base(f.EntrypointPath)
	}
	if f.ImportMapPath != "" {
		state.ImportMap = relativePath(path.Dir(f.EntrypointPath), f.ImportMapPath)
	}
	if known.Revision == state.Revision && known.Files != nil {
		return state, nil
	}
	fetched, err := s.API.FunctionSource(ctx, s.Ref, f.Slug)
	if err != nil {
		return backup.FunctionState{}, err
	}
	base := path.Dir(fetched.Entrypoint)
	deployed := source.Source{Files: map[string][]byte{}}
	for file, content := range fetched.Files {
		deployed.Files[relativePath(base, file)] = content
	}
	state.Files = deployed.Digests()
	addUnreported(state.Files, known.Applied)
	state.Changes = changesOf(deployed, known)
	return state, nil
}

// addUnreported adds the files that were applied and not returned. The platform
// returns what the bundle reaches when it runs, which leaves out the import map
// and modules of types alone. Code that needs such a file and lost it would be
// other code, and show as that. Where no file at all is as it was applied, the
// function was replaced, and what is not returned is gone.
func addUnreported(files, applied map[string]string) {
	kept := false
	for file, digest := range applied {
		kept = kept || files[file] == digest
	}
	if !kept {
		return
	}
	for file, digest := range applied {
		if _, ok := files[file]; !ok {
			files[file] = digest
		}
	}
}

// changesOf says of the files that are not as they were applied in which line
// they differ first.
func changesOf(deployed source.Source, known backup.Known) map[string]string {
	var applied map[string][]byte
	changes := map[string]string{}
	for file, content := range deployed.Files {
		digest, was := known.Applied[file]
		if !was || known.Content == nil || digest == source.Digest(content) {
			continue
		}
		if applied == nil {
			applied = known.Content()
		}
		if former := applied[file]; source.Digest(former) == digest {
			if change := source.FirstChange(content, former, redact.New().Redact); change != "" {
				changes[file] = change
			}
		}
	}
	return changes
}

// revision identifies a deployment. The bundle's hash alone would do, but the
// API declares it optional.
func revision(f supabase.Function) string {
	return f.EzbrSHA256 + "@" + strconv.FormatInt(f.UpdatedAt, 10)
}

// relativePath expresses file relative to base, both slash-separated.
func relativePath(base, file string) string {
	from, to := strings.Split(path.Clean(base), "/"), strings.Split(path.Clean(file), "/")
	if path.Clean(base) == "." {
		from = nil
	}
	for len(from) > 0 && len(to) > 1 && from[0] == to[0] {
		from, to = from[1:], to[1:]
	}
	return strings.Repeat("../", len(from)) + strings.Join(to, "/")
}

// Functions lists the project's Edge Functions, read once for all callers in
// this run. The list must not be changed.
func (s *Service) Functions(ctx context.Context) ([]supabase.Function, error) {
	return s.shared.Functions(ctx, &s.shared.recent)
}

// Early is a Service for plans: its lists may be what this run has read before its first
// write to the project, as with ObserveFirst.
type Early struct{ *Service }

// Functions lists the project's Edge Functions. The list must not be changed.
func (e Early) Functions(ctx context.Context) ([]supabase.Function, error) {
	return e.shared.Functions(ctx, e.shared.early())
}

// Secrets lists the project's function secrets. The list must not be changed.
func (e Early) Secrets(ctx context.Context) ([]supabase.Secret, error) {
	return e.shared.Secrets(ctx, e.shared.early())
}

// Secrets lists the project's function secrets with their digests, read once
// for all callers in this run. The list must not be changed.
func (s *Service) Secrets(ctx context.Context) ([]supabase.Secret, error) {
	return s.shared.Secrets(ctx, &s.shared.recent)
}

// PublicKeys returns the digests of the project's public keys, with which the watchdog
// may call the alert function. They are read once for all callers in this run, and not
// known if the token may not read them, which no plan and no status needs.
func (s *Service) PublicKeys(ctx context.Context) (supabase.PublicKeys, error) {
	keys, err := s.shared.APIKeys(ctx)
	switch {
	case errors.Is(err, supabase.ErrForbidden):
		return supabase.PublicKeys{}, nil
	case err != nil:
		return supabase.PublicKeys{}, err
	}
	public := supabase.PublicKeysOf(keys)
	digests := supabase.PublicKeys{First: []string{}}
	for _, key := range public.First {
		digests.First = append(digests.First, backup.DigestOf(key))
	}
	if public.Legacy != "" {
		digests.Legacy = backup.DigestOf(public.Legacy)
	}
	return digests, nil
}

// PlatformBackups are the backups that the platform itself has of the project's
// database, read once for all callers in this run.
func (s *Service) PlatformBackups(ctx context.Context) (supabase.Backups, error) {
	return s.shared.Backups(ctx)
}

// ZoneChanges are the database's rules of time zones, read with the database's part of
// a backup, which need not be installed. A zone that the database lacks is not among
// them.
func (s *Service) ZoneChanges(ctx context.Context, name backup.Name, zones []string) (schedule.Rules, error) {
	return s.shared.ZoneChanges(ctx, name, zones)
}

// KnownZoneChanges are the database's rules of time zones, as far as they were read in
// this run already. It reads nothing.
func (s *Service) KnownZoneChanges() schedule.Rules { return s.shared.KnownZoneChanges() }

// Ask asks the database for facts, once in a run for all who ask for the same. The document
// must not be changed.
func (s *Service) Ask(ctx context.Context, request facts.Request) (facts.Document, error) {
	return s.shared.Ask(ctx, request)
}

// Query runs one statement in the project's database.
func (s *Service) Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	return s.DB.Query(ctx, access, sql, args...)
}

// Installed lists the names of the backups that this provider has installed in
// the project. Nothing is written.
func (s *Service) Installed(ctx context.Context) ([]backup.Name, error) {
	answer, err := s.DB.Query(ctx, postgres.ReadOnly, queries.Backups, backup.Owner)
	if err != nil {
		return nil, fmt.Errorf("list the backups of project %s: %w", s.Ref, err)
	}
	if answer == nil {
		return nil, nil
	}
	var names []backup.Name
	if err := json.Unmarshal(answer, &names); err != nil {
		return nil, fmt.Errorf("list the backups of project %s: the database's answer has an unexpected form: %w", s.Ref, err)
	}
	return names, nil
}
