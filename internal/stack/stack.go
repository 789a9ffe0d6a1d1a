package stack

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed application
var applicationFiles embed.FS

// Parts are the parts of a stack that can be started without the others. Each needs
// different programs on the machine.
type Parts uint

const (
	// Database is PostgreSQL with pg_cron, pg_net's worker and the data API. It
	// needs the Debian packages of PostgreSQL and pg_cron.
	Database Parts = 1 << iota
	// Functions is the Edge Functions and their deployment. It needs Deno.
	Functions
)

// Options configures a stack. The zero value is a project like AIMindset's, with
// Supabase's limits.
type Options struct {
	// Parts are the parts to start; 0 means all. Without Functions, the project has
	// no functions, functions cannot be deployed, and the methods for functions must
	// not be called. Without Database, nothing listens at the database URLs.
	Parts Parts
	// Articles is the number of articles to back up; 0 means 1,000.
	Articles int
	// LegacyJobs adds the five pg_cron jobs that AIMindset had before. Two of them
	// have names that a default installation uses.
	LegacyJobs bool
	// S3 starts an S3 server for the off-site copy, as Stack.S3. Functions trust its CA.
	S3 bool
	// Log receives a line for each event of the stack. It may be nil.
	Log io.Writer

	// RateLimit is how many requests to each endpoint the Management API accepts
	// from one user in RateWindow; 0 means 120, a negative number no limit.
	RateLimit int
	// RateWindow is the length of a window; 0 means one minute.
	RateWindow time.Duration
	// Intercept wraps the Management API from the start; see InterceptAPI.
	Intercept func(http.Handler) http.Handler

	// SelfHosted makes it a self-hosted project: functions are files in
	// FunctionsDir, served as by Supabase's Docker setup, and there is no
	// Management API.
	SelfHosted bool
	// VerifyJWT makes a self-hosted project require a JWT for every function.
	VerifyJWT bool
	// CLIStack makes a self-hosted project that of "supabase start" with
	// "[experimental] stack = true": each request gets a new instance, and a JWT is
	// required unless supabase/config.toml says otherwise.
	CLIStack bool

	// JWTGateway makes the gateway in front of functions accept nothing but JWTs as
	// bearer tokens for verify_jwt, as before publishable and secret keys. Otherwise it
	// accepts these keys in either header, as today.
	JWTGateway bool
	// NoLegacyKeys makes it a project that never had the keys anon and service_role.
	NoLegacyKeys bool

	// FunctionWallClock is how long an instance of a function lives; 0 means
	// 400 seconds, as on a paid plan, or 60 in a self-hosted project.
	FunctionWallClock time.Duration
	// FunctionIdleTimeout is how long a function may take to begin its response;
	// 0 means 150 seconds.
	FunctionIdleTimeout time.Duration
	// DataAPITimeout is when the gateway in front of PostgREST gives up; 0 means
	// 60 seconds.
	DataAPITimeout time.Duration
}

// withDefaults replaces zero values with the defaults.
func (o Options) withDefaults() Options {
	setDefault(&o.Parts, Database|Functions)
	setDefault(&o.Articles, 1000)
	setDefault(&o.RateLimit, 120)
	setDefault(&o.RateWindow, time.Minute)
	if o.SelfHosted && !o.CLIStack {
		setDefault(&o.FunctionWallClock, dockerWorkerLifetime)
	}
	setDefault(&o.FunctionWallClock, 400*time.Second)
	setDefault(&o.FunctionIdleTimeout, 150*time.Second)
	setDefault(&o.DataAPITimeout, time.Minute)
	o.Log = &lockedWriter{w: orDiscard(o.Log)}
	return o
}

func setDefault[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}

// lockedWriter is a writer for several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Stack is a running project.
type Stack struct {
	// ProjectRef is the project's reference: 20 lower-case letters.
	ProjectRef string
	// AccessToken has all privileges in the Management API, ReadOnlyAccessToken
	// only those to read. Both belong to one user.
	AccessToken, ReadOnlyAccessToken string
	// APIURL is the Management API's base, instead of https://api.supabase.com.
	APIURL string
	// ProjectURL is used instead of https://<ref>.supabase.co: it serves
	// /rest/v1/ and /functions/v1/.
	ProjectURL string
	// DatabaseURL connects as postgres, the role of a project's owner;
	// AdminDatabaseURL as the superuser supabase_admin, which is not available on
	// Supabase; ReadOnlyDatabaseURL as supabase_read_only_user.
	DatabaseURL, AdminDatabaseURL, ReadOnlyDatabaseURL string
	// The project's API keys: the two legacy ones are JWTs.
	AnonKey, ServiceRoleKey, PublishableKey, SecretKey string
	// FunctionsDir, EnvFile and RestartCommand are those of a self-hosted project:
	// the directory of its functions, the file with their environment, and a
	// program that recreates the runtime.
	FunctionsDir, EnvFile string
	RestartCommand        []string
	// S3 is the S3 server that the stack started, nil without Options.S3.
	S3 *S3

	keys       keys
	log        io.Writer
	dir        string
	cancel     context.CancelFunc
	super      *supervisor
	cluster    *cluster // nil without Database, as are net, rest and admin
	net        netControl
	netErr     error          // of StopNetWorker
	store      *functionStore // nil if self-hosted
	gateway    *gateway       // nil without Functions
	management *management    // nil if self-hosted
	selfHosted *selfHosted    // nil on the platform
	rest       *postgrest
	mail       *mailbox
	admin      *pgxpool.Pool
	servers    []*http.Server
	api        interceptor
	project    interceptor

	closing sync.Once
	closed  error
}

// Start starts a stack, and closes it when the context ends. If a program is missing,
// the error wraps ErrNotInstalled and names the command that installs it.
func Start(ctx context.Context, opts Options) (_ *Stack, err error) {
	begin := time.Now()
	opts = opts.withDefaults()
	if opts.SelfHosted && opts.Parts != Database|Functions {
		return nil, errors.New("a self-hosted project has no parts that start alone")
	}
	if opts.CLIStack && (!opts.SelfHosted || opts.VerifyJWT) {
		return nil, errors.New("a stack of the CLI is a self-hosted project whose supabase/config.toml says which functions require a JWT")
	}
	err = newInstaller(nil).missing(opts.Parts)
	if opts.Parts&Database != 0 && !opts.SelfHosted {
		_, missing := findMeta(metaDir())
		err = errors.Join(err, missing)
	}
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "aimindset-stack-")
	if err != nil {
		return nil, err
	}
	s := &Stack{keys: newKeys(begin), log: opts.Log, dir: dir}
	if opts.NoLegacyKeys {
		s.keys.anon, s.keys.serviceRole = "", ""
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()

	if opts.S3 {
		if s.S3, err = StartS3(ctx, S3Options{Log: opts.Log}); err != nil {
			return nil, err
		}
	}
	var listeners [3]net.Listener // Management API, project, mail
	var urls [3]string
	for i := range listeners {
		if listeners[i], err = (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		urls[i] = "http://" + listeners[i].Addr().String()
		s.servers = append(s.servers, newServer())
		defer func() {
			if err != nil {
				_ = listeners[i].Close()
			}
		}()
	}
	if opts.SelfHosted {
		s.ProjectRef = "self-hosted"
	} else {
		s.ProjectRef, s.AccessToken, s.ReadOnlyAccessToken = s.keys.ref, s.keys.accessToken, s.keys.readToken
	}
	s.AnonKey, s.ServiceRoleKey, s.PublishableKey, s.SecretKey = s.keys.anon, s.keys.serviceRole, s.keys.publishable, s.keys.secret
	s.ProjectURL = urls[1]
	if !opts.SelfHosted {
		s.APIURL = urls[0]
	}
	s.mail = &mailbox{key: s.keys.resend}
	s.api.set(opts.Intercept)
	server, err := serverDir(dir)
	if err != nil {
		return nil, err
	}
	if s.super, err = newSupervisor(dir, server); err != nil {
		return nil, errors.Join(err, os.RemoveAll(server))
	}
	var functions, control http.Handler
	if opts.SelfHosted {
		if err := s.startDatabase(ctx, life, opts); err != nil {
			return nil, err
		}
		control = s.control()
		functions, err = s.startSelfHosted(ctx, opts, urls[0], listeners[1].Addr().String(), urls[2])
	} else {
		functions, err = s.startHosted(ctx, life, opts, listeners[1].Addr().String(), urls[2])
	}
	if err != nil {
		return nil, err
	}
	if !opts.SelfHosted {
		s.management = newManagement(&s.keys, s.store, s.gateway, s.databaseURL, newLimiter(opts.RateLimit, opts.RateWindow))
		control = s.management.record(s.api.wrap(s.management.mux))
	}
	project := http.NewServeMux()
	if functions != nil {
		project.Handle("/functions/v1/", functions)
	}
	if s.rest != nil {
		project.Handle("/rest/v1/", s.rest)
	}
	for i, handler := range []http.Handler{
		control,
		s.project.wrap(project),
		s.mail,
	} {
		s.servers[i].Handler = handler
		go func() { _ = s.servers[i].Serve(listeners[i]) }()
	}
	go func() {
		select {
		case <-ctx.Done():
			_ = s.Close()
		case <-life.Done():
		}
	}()
	_, _ = fmt.Fprintf(s.log, "stack of project %s started in %.1f s%s\n", s.ProjectRef, time.Since(begin).Seconds(), s.sqlEndpoint())
	return s, nil
}

// startHosted starts the database and what runs the platform's functions. The
// handler is nil if the stack has no functions.
func (s *Stack) startHosted(ctx, life context.Context, opts Options, host, mailURL string) (_ http.Handler, err error) {
	var deno string
	if opts.Parts&Functions != 0 {
		if deno, err = Deno(); err != nil {
			return nil, err
		}
	}
	s.store, err = newFunctionStore(s.keys.ref, filepath.Join(s.dir, "functions"), deno)
	if err != nil {
		return nil, err
	}
	if s.S3 != nil {
		s.store.ca = s.S3.CAFile
	}
	if err := s.store.setSecrets(map[string]string{"RESEND_API_KEY": s.keys.resend, "RESEND_API_URL": mailURL}); err != nil {
		return nil, err
	}
	// The application's function is bundled while the database starts.
	deployed := make(chan error, 1)
	go func() {
		if deno == "" {
			deployed <- nil
			return
		}
		deployed <- s.deployApplication(ctx)
	}()
	var dbErr error
	if opts.Parts&Database != 0 {
		dbErr = s.startDatabase(ctx, life, opts)
	}
	if err := errors.Join(dbErr, <-deployed); err != nil {
		return nil, err
	}
	s.store.setBuiltin(s.builtinEnvironment())
	if deno == "" {
		return nil, nil
	}
	s.gateway, err = newGateway(&s.keys, s.store, deno, limits{wallClock: opts.FunctionWallClock, idle: opts.FunctionIdleTimeout},
		host, s.store.dir, s.startProcess)
	if err == nil {
		s.gateway.jwtsOnly = opts.JWTGateway
	}
	return s.gateway, err
}

// startProcess starts a function's process, which ends with the stack.
func (s *Stack) startProcess(cmd *exec.Cmd) (*process, error) {
	return s.super.start(cmd, "KILL", false)
}

// databaseURL returns the connection string of a role. Nothing listens there if the
// stack has no database.
func (s *Stack) databaseURL(role string) string {
	if s.cluster == nil {
		return "postgresql://" + role + "@127.0.0.1:9/postgres"
	}
	return s.cluster.url(role)
}

// newServer returns an HTTP server that logs nothing, because tests make handlers cut
// connections.
func newServer() *http.Server {
	return &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
}

// startDatabase starts PostgreSQL with the application's schema, pg_net's worker
// and the data API.
func (s *Stack) startDatabase(ctx, life context.Context, opts Options) error {
	var err error
	if s.cluster, err = startCluster(ctx, s.super, s.log); err != nil {
		return err
	}
	s.DatabaseURL = s.cluster.url("postgres")
	s.AdminDatabaseURL = s.cluster.url("supabase_admin")
	s.ReadOnlyDatabaseURL = s.cluster.url("supabase_read_only_user")
	if s.admin, err = newPool(life, s.AdminDatabaseURL, "stack"); err != nil {
		return err
	}
	if err := s.cluster.createApplication(ctx, appOptions{
		Articles: opts.Articles, LegacyJobs: opts.LegacyJobs, ProjectURL: s.ProjectURL,
	}); err != nil {
		return err
	}
	if s.net, err = startNet(life, s.cluster, s.log); err != nil {
		return err
	}
	s.rest, err = newPostgrest(life, &s.keys, s.cluster.url("authenticator"), opts.DataAPITimeout)
	return err
}

// deployApplication deploys the functions that the application already has.
func (s *Stack) deployApplication(ctx context.Context) error {
	sample, err := SampleFunctions()
	if err != nil {
		return err
	}
	for slug, files := range sample {
		if err := s.DeployFunction(ctx, slug, files, true); err != nil {
			return fmt.Errorf("deploying %s: %w", slug, err)
		}
	}
	return nil
}

// builtinEnvironment is the environment that every function has on Supabase.
func (s *Stack) builtinEnvironment() map[string]string {
	named := func(key string) string {
		text, _ := json.Marshal(map[string]string{"default": key})
		return string(text)
	}
	environment := map[string]string{
		"SUPABASE_URL":              s.ProjectURL,
		"SUPABASE_PUBLISHABLE_KEYS": named(s.keys.publishable),
		"SUPABASE_SECRET_KEYS":      named(s.keys.secret),
		"SUPABASE_DB_URL":           s.DatabaseURL,
		"SUPABASE_JWKS":             `{"keys":[]}`,
	}
	if s.keys.anon != "" {
		environment["SUPABASE_ANON_KEY"], environment["SUPABASE_SERVICE_ROLE_KEY"] = s.keys.anon, s.keys.serviceRole
	}
	return environment
}

// Close stops everything that the stack has started and removes its files. Further
// calls return the same result.
func (s *Stack) Close() error {
	s.closing.Do(func() {
		s.cancel()
		for _, server := range s.servers {
			_ = server.Close()
		}
		if s.store != nil {
			s.store.close()
		}
		if s.gateway != nil {
			s.gateway.close()
		}
		if s.net != nil {
			s.net.close()
		}
		errs := []error{s.netErr}
		if s.S3 != nil {
			errs = append(errs, s.S3.Close())
		}
		if s.cluster != nil {
			errs = append(errs, s.cluster.close())
		}
		// It kills what did not stop by itself.
		if s.super != nil {
			errs = append(errs, s.super.close())
		}
		// After the server, so that no query keeps them.
		if s.rest != nil {
			s.rest.close()
		}
		if s.admin != nil {
			s.admin.Close()
		}
		errs = append(errs, os.RemoveAll(s.dir))
		s.closed = errors.Join(errs...)
	})
	return s.closed
}

// Environ returns the provider's settings, without a database URL: SQL goes through
// the Management API. A self-hosted project has none of it, but the key.
func (s *Stack) Environ() []string {
	if s.selfHosted != nil {
		return []string{"SUPABASE_ANON_KEY=" + s.AnonKey}
	}
	return []string{
		"SUPABASE_ACCESS_TOKEN=" + s.AccessToken,
		"SUPABASE_PROJECT_REF=" + s.ProjectRef,
		"SUPABASE_API_URL=" + s.APIURL,
		"SUPABASE_PROJECT_URL=" + s.ProjectURL,
	}
}

// EnvironWithDatabase is Environ with a database URL: SQL goes there.
func (s *Stack) EnvironWithDatabase() []string {
	return append(s.Environ(), "SUPABASE_DB_URL="+s.DatabaseURL)
}

// Admin returns a pool of connections as the superuser.
func (s *Stack) Admin() *pgxpool.Pool { return s.admin }

// DatabaseLog returns what the database's server has logged.
func (s *Stack) DatabaseLog() (string, error) {
	text, err := os.ReadFile(s.cluster.serverLog())
	return string(text), err
}

// Emails returns the mails that the application sent so far.
func (s *Stack) Emails() []Email { return s.mail.list() }

// FailEmails makes the mail service refuse mails with an HTTP status, or accept
// them again with 0.
func (s *Stack) FailEmails(status int) { s.mail.fail(status) }

// APICalls returns the requests that the Management API answered so far.
func (s *Stack) APICalls() []Call {
	if s.management == nil {
		return nil
	}
	return s.management.log()
}

// FunctionLogs returns what all processes of a function have printed: the last
// megabyte.
func (s *Stack) FunctionLogs(slug string) string { return s.gateway.log(slug) }

// FunctionProcesses returns how many processes a function has, including those that
// are finishing their work.
func (s *Stack) FunctionProcesses(slug string) int { return s.gateway.processes(slug) }

// FunctionUsage returns what the running processes of a function have used: the processor
// time of their main threads, which run the function's code and which the platform's limit
// counts, and the largest memory of one of them in bytes.
func (s *Stack) FunctionUsage(slug string) (processor time.Duration, memory int64, err error) {
	return s.gateway.usage(slug)
}

// KillFunction kills a function's processes and returns when they have ended. The next
// request starts a new one.
func (s *Stack) KillFunction(slug string) { s.gateway.kill(slug) }

// TerminateFunction ends a function's processes as a limit of the platform does: the
// event beforeunload has the reason (wall_clock, cpu, memory, early_drop,
// termination), and after a grace period they are killed.
func (s *Stack) TerminateFunction(slug, reason string, grace time.Duration) {
	s.gateway.terminate(slug, reason, grace)
}

// BreakFunction makes a function fail at its start, or no longer.
func (s *Stack) BreakFunction(slug string, broken bool) { s.gateway.setBroken(slug, broken) }

// SetFunctionStatus sets a function's status (ACTIVE, REMOVED, THROTTLED), as
// only the platform can.
func (s *Stack) SetFunctionStatus(slug, status string) error {
	if s.store == nil {
		return errNoPlatform
	}
	if s.store.update(slug, func(f *function) { f.Status = status }) == nil {
		return fmt.Errorf("there is no function %q", slug)
	}
	return nil
}

// DeployFunction deploys a function without the Management API and its log, like a
// change outside Terraform. The keys of files are paths relative to index.ts.
func (s *Stack) DeployFunction(ctx context.Context, slug string, files map[string]string, verifyJWT bool) error {
	if s.selfHosted != nil {
		return s.selfHosted.directory.put(slug, files)
	}
	d := deployment{slug: slug, entrypoint: slug + "/index.ts", verifyJWT: verifyJWT, files: map[string][]byte{}}
	for name, content := range files {
		d.files[slug+"/"+name] = []byte(content)
	}
	_, err := s.store.deploy(ctx, d)
	return err
}

// FunctionFiles returns the source of a deployed function, by path, as it was
// uploaded and as far as the entry point reaches it. It is nil if there is no
// such function.
func (s *Stack) FunctionFiles(slug string) map[string]string {
	if s.store == nil {
		return nil
	}
	f := s.store.get(slug)
	if f == nil || f.bundle == nil {
		return nil
	}
	files := map[string]string{}
	for name, content := range f.bundle.files {
		files[name] = string(content)
	}
	return files
}

// SetSecret sets a project secret without the Management API and its log.
func (s *Stack) SetSecret(name, value string) error {
	if s.store == nil {
		return errNoPlatform
	}
	return s.store.setSecrets(map[string]string{name: value})
}

// errNoPlatform is the error of methods that only a project on the platform has.
var errNoPlatform = errors.New("a self-hosted project has functions and secrets in files: see FunctionsDir and EnvFile")

// SecretDigests returns the project's secrets, Supabase's own included, as the
// Management API lists them: the SHA-256 of each value in hexadecimal digits.
func (s *Stack) SecretDigests() map[string]string {
	digests := map[string]string{}
	for _, row := range s.store.listSecrets() {
		digests[row.Name] = row.Value
	}
	return digests
}

// FunctionStatus returns a function's status, empty when there is none, and whether
// the platform refuses requests to it that have no JWT.
func (s *Stack) FunctionStatus(slug string) (status string, verifyJWT bool) {
	if f := s.store.get(slug); f != nil {
		return f.Status, f.VerifyJWT
	}
	return "", false
}

// FunctionSlugs returns the slugs of all functions, sorted.
func (s *Stack) FunctionSlugs() []string {
	var slugs []string
	for _, f := range s.store.list() {
		slugs = append(slugs, f.Slug)
	}
	return slugs
}

// InterceptAPI wraps the Management API in a middleware, which replaces an earlier one;
// nil removes it. It sees requests before authentication and rate limits. It may
// respond itself, change a response, or cut the connection with
// panic(http.ErrAbortHandler), before or after it calls next.
func (s *Stack) InterceptAPI(middleware func(next http.Handler) http.Handler) { s.api.set(middleware) }

// InterceptProject is InterceptAPI for the project's own URL: /rest/v1/ and
// /functions/v1/, requests among functions included.
func (s *Stack) InterceptProject(middleware func(next http.Handler) http.Handler) {
	s.project.set(middleware)
}

// interceptor is a middleware that can be replaced while it is in use.
type interceptor struct {
	middleware atomic.Pointer[func(http.Handler) http.Handler]
}

func (i *interceptor) set(middleware func(http.Handler) http.Handler) {
	if middleware == nil {
		i.middleware.Store(nil)
		return
	}
	i.middleware.Store(&middleware)
}

func (i *interceptor) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if middleware := i.middleware.Load(); middleware != nil {
			(*middleware)(next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// RestartPostgres restarts the server on the same port. With immediate it crashes, and
// unlogged tables, such as pg_net's, are empty afterwards. Otherwise pg_net's worker
// finishes its batch first.
func (s *Stack) RestartPostgres(ctx context.Context, immediate bool) error {
	return s.cluster.restart(ctx, immediate)
}

// CopyVaultKey gives the project's vault the key of another one's, as Supabase does when
// it clones a project. It may restart the server.
func (s *Stack) CopyVaultKey(ctx context.Context, from *Stack) error {
	key, err := os.ReadFile(from.cluster.vaultKey())
	if err != nil {
		return err
	}
	err = s.cluster.setVaultKey(ctx, string(key))
	s.admin.Reset()
	return err
}

// StopNetWorker stops pg_net's worker after its batch: requests stay in the
// queue. If that fails, StartNetWorker and Close return the error.
func (s *Stack) StopNetWorker() { s.netErr = errors.Join(s.netErr, s.net.stop()) }

// StartNetWorker starts pg_net's worker again.
func (s *Stack) StartNetWorker(ctx context.Context) error {
	return errors.Join(s.netErr, s.net.start(ctx))
}

// Software says which PostgreSQL runs, which of its parts are real, and what runs the SQL
// of the Management API, for a log.
func (s *Stack) Software() string { return s.cluster.software() + s.sqlEndpoint() }

// sqlEndpoint says what runs the SQL of the Management API, if there is one.
func (s *Stack) sqlEndpoint() string {
	if s.management == nil || s.cluster == nil {
		return ""
	}
	return "; its SQL endpoint is the real postgres-meta " + MetaVersion
}

// RemoveFunction removes a function without the Management API and its log.
func (s *Stack) RemoveFunction(slug string) { s.store.remove(slug) }
