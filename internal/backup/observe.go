package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
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
}

// Service observes, installs and removes backups in one project. It is safe
// for use by several goroutines as long as each writes to its own backup.
//
// What is read to refresh and to plan is read once for all backups of the
// project; see Recall and shared. API and DB go past that, but the writes
// through them are noticed there.
type Service struct {
	// Ref is the project's reference.
	Ref string
	API watchedAPI
	DB  watchedDB
	// Who names this process to people whose apply has to wait for it.
	Who string
	// LeaseTime is how long another apply waits for one that died; 0 means
	// DefaultLeaseTime.
	LeaseTime time.Duration
	// Log receives what the service waits for and repeats. Nothing in it is
	// secret. It may be nil.
	Log *slog.Logger

	shared *shared
	// runtime is nil on the platform; see SelfHosted.
	runtime Runtime
}

// NewService makes the Service of a project. The DB stays the caller's to close.
func NewService(ref string, api API, db postgres.DB) *Service {
	s := &shared{ref: ref, api: api, db: db, asked: map[Name]bool{}, statements: semaphore.NewWeighted(mostStatements)}
	return &Service{Ref: ref, API: watchedAPI{s}, DB: watchedDB{s}, shared: s}
}

// Known is what an earlier observation learned about a function's source. It
// spares reading the source while nobody has deployed the function again.
type Known struct {
	Revision string
	Files    map[string]string
	// Managed says that the backup itself was known, whatever is left of it.
	Managed bool
	// Keys are the keys of the backup's jobs and Secrets the names of its
	// extra secrets. They tell the backup's objects from others when the
	// settings row, which lists them, is lost.
	Keys, Secrets []string
}

// Observe reads one backup as it is in the project now: one SQL statement and
// two API reads, made at the same time, and a third read of the function's
// source when it was deployed since it was last known. Nothing is written.
//
// It is for whoever is about to write, or has to see what others wrote.
func (s *Service) Observe(ctx context.Context, name Name, known Known) (State, error) {
	s.shared.forget()
	return s.Recall(ctx, name, known)
}

// Recall is Observe for a refresh and for a plan, in which the project may be
// taken for as it was when it was first looked at. It shares its reads with all
// who recall a backup of this project, now or before: two API reads and one SQL
// statement for all of them, until this process writes to the project.
func (s *Service) Recall(ctx context.Context, name Name, known Known) (State, error) {
	var (
		state     = State{ID: ID{ProjectRef: s.Ref, Name: name}}
		database  observation
		functions []supabase.Function
		secrets   []supabase.Secret
	)
	err := together(ctx,
		func(ctx context.Context) (err error) { database, err = s.shared.Database(ctx, name); return err },
		func(ctx context.Context) (err error) { functions, err = s.shared.Functions(ctx); return err },
		func(ctx context.Context) (err error) { secrets, err = s.shared.Secrets(ctx); return err },
	)
	if err != nil {
		return State{}, fmt.Errorf("read backup %s: %w", state.ID, err)
	}

	if err := database.fill(&state, known); err != nil {
		return State{}, fmt.Errorf("read backup %s: %w", state.ID, err)
	}
	state.Secrets = map[string]string{}
	for _, secret := range secrets {
		state.Secrets[secret.Name] = secret.Digest
	}
	state.Token.Function = state.Secrets[name.TokenSecret()]
	state.Token.Next = state.Secrets[name.NextTokenSecret()]

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
		return State{}, fmt.Errorf("read backup %s: %w", state.ID, err)
	}
	state.Function = &function
	return state, nil
}

// together makes reads at the same time. One that fails ends the others, and its
// error is the answer.
func together(ctx context.Context, reads ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	errs := make([]error, len(reads))
	for i, read := range reads {
		group.Go(func() {
			if errs[i] = read(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	group.Wait()
	var first error
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

func (s *Service) observeFunction(ctx context.Context, f supabase.Function, known Known) (FunctionState, error) {
	state := FunctionState{
		ID: f.ID, Name: f.Name, Status: f.Status, VerifyJWT: f.VerifyJWT,
		Entrypoint: payload.Entrypoint, Revision: revision(f), Files: known.Files,
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
	source, err := s.API.FunctionSource(ctx, s.Ref, f.Slug)
	if err != nil {
		return FunctionState{}, err
	}
	base := path.Dir(source.Entrypoint)
	deployed := payload.Source{Files: map[string][]byte{}}
	for file, content := range source.Files {
		deployed.Files[relativePath(base, file)] = content
	}
	state.Files = deployed.Digests()
	// The platform returns what the bundle reaches when it runs, which leaves
	// out the import map and modules of types alone. Code that did need such a
	// file would be other code, and show as that.
	for file, digest := range known.Files {
		if _, ok := state.Files[file]; !ok {
			state.Files[file] = digest
		}
	}
	return state, nil
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

// observation is what observe.sql answers about one backup: the project's part,
// which all backups share and nobody may change, and the backup's own.
type observation struct {
	projectObservation
	backupObservation
}

type projectObservation struct {
	Extensions   map[string]string `json:"extensions"`
	Installation *struct {
		Owner   string `json:"owner"`
		Version string `json:"version"`
	} `json:"installation"`
	Backups        []string          `json:"backups"`
	Functions      map[string]string `json:"functions"`
	Deviations     map[string]string `json:"deviations"`
	LogConstraints []LogConstraint   `json:"log_constraints"`
}

// tokenDigest is the answer of auto_backup.token_digest, empty when the vault
// has no token.
type tokenDigest struct {
	Digest string `json:"digest"`
}

type backupObservation struct {
	Settings *struct {
		Spec       json.RawMessage `json:"spec"`
		Owner      string          `json:"owner"`
		FunctionID string          `json:"function_id"`
		Unfinished bool            `json:"unfinished"`
		// Age is in seconds since the installation was finished, null when it
		// was not, or nobody noted it.
		Age *float64 `json:"age"`
	} `json:"settings"`
	Jobs  []Job             `json:"jobs"`
	Vault map[string]string `json:"vault"`
	// TokenDigest is null when the digest could not be asked for.
	TokenDigest *tokenDigest `json:"token_digest"`
}

// Installed lists the names of the backups that this provider has installed in
// the project. Nothing is written.
func (s *Service) Installed(ctx context.Context) ([]Name, error) {
	answer, err := s.DB.Query(ctx, postgres.ReadOnly, postgres.Backups, Owner)
	if err != nil {
		return nil, fmt.Errorf("list the backups of project %s: %w", s.Ref, err)
	}
	if answer == nil {
		return nil, nil
	}
	var names []Name
	if err := json.Unmarshal(answer, &names); err != nil {
		return nil, fmt.Errorf("list the backups of project %s: the database's answer has an unexpected form: %w", s.Ref, err)
	}
	return names, nil
}

func (o observation) fill(state *State, known Known) error {
	name := state.ID.Name
	state.known = known
	state.Extensions, state.Backups = o.Extensions, o.Backups
	state.SchemaDeviations = o.Deviations
	state.Functions, state.VaultStamps, state.LogConstraints = o.Functions, o.Vault, o.LogConstraints
	if o.TokenDigest != nil {
		state.Token.Vault = o.TokenDigest.Digest
	} else {
		_, state.Token.Unreadable = o.Vault[name.VaultToken()]
	}
	if o.Installation != nil {
		state.DispatcherVersion = o.Installation.Version
	}
	claimed := map[string]bool{}
	for _, key := range known.Keys {
		claimed[key] = true
	}
	if o.Settings != nil {
		state.Stamped, state.FunctionID = o.Settings.Owner == Owner, o.Settings.FunctionID
		state.Unfinished = o.Settings.Unfinished
		if o.Settings.Age != nil {
			state.Age = time.Duration(*o.Settings.Age * float64(time.Second))
		}
		state.Settings = &Settings{}
		// A value of another type than it has to be is left out, and so shows
		// as a change like any other.
		var typeErr *json.UnmarshalTypeError
		if err := json.Unmarshal(o.Settings.Spec, state.Settings); err != nil && !errors.As(err, &typeErr) {
			return fmt.Errorf("the settings of backup %s in auto_backup.settings have an unexpected form: %w", name, err)
		}
		claimed[WatchdogKey] = true
		for key := range maps.Keys(state.Settings.Schedules) {
			claimed[key] = true
		}
	}
	others := slices.DeleteFunc(slices.Clone(o.Backups), func(other string) bool { return other == string(name) })
	o.fillJobs(state, claimed, others)
	return nil
}

// fillJobs sorts the jobs by whose they are. claimed are the keys of the
// backup's own, backups the other backups of the project.
func (o observation) fillJobs(state *State, claimed map[string]bool, backups []string) {
	state.Jobs, state.Namesakes = map[string]Job{}, map[string]Job{}
	var others []Job
	keyOf := func(job Job) (string, bool) {
		key, named := strings.CutPrefix(job.Name, string(state.ID.Name)+"-")
		return key, named && keyPattern.MatchString(key)
	}
	for _, job := range o.Jobs {
		key, named := keyOf(job)
		switch {
		case !named || job.Username != JobOwner:
			others = append(others, job)
		case claimed[key]:
			state.Jobs[key] = job
		default:
			state.Namesakes[key] = job
		}
	}
	// A job of a name of this backup that belongs to another role is a second
	// one, or the backup's own under another owner.
	for _, job := range others {
		key, named := keyOf(job)
		_, double := state.Jobs[key]
		switch {
		case !named && isJobOf(job, backups):
		case !named:
			state.OtherJobs = append(state.OtherJobs, job)
		case !claimed[key]:
			state.Namesakes[duplicateKey(key, job.Username)] = job
		case double:
			state.Jobs[duplicateKey(key, job.Username)] = job
		default:
			state.Jobs[key] = job
		}
	}
}
