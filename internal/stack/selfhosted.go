package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// functionsDirectory is a stand-in for the container in which Supabase's Docker setup
// runs Edge Functions: a directory of functions, and the environment that the container
// was created with, from the env file at that time and the setup's own variables. A new
// process runs the current index.ts; running processes keep the code that they have
// read.
//
// It leaves out: deno.json and import maps, of which the setup's router passes
// none, package.json, and the cache for remote modules.
type functionsDirectory struct {
	dir     string // with a directory for each function
	envFile string
	own     []string // the setup's own variables
	// config is the file supabase/config.toml of the CLI's stack, or empty. With it,
	// each request gets a new process.
	config string

	mu       sync.Mutex
	created  int             // how often the container was created
	snapshot string          // the env file as it was then
	open     map[string]bool // the slugs for which config required no JWT then
	requests int             // how often a request got a new process
}

// create reads the environment and config, like a container that is recreated.
func (d *functionsDirectory) create() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, err := os.ReadFile(d.envFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	config, err := os.ReadFile(d.config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.open = withoutJWT(string(config))
	d.created++
	d.snapshot = filepath.Join(filepath.Dir(d.dir), fmt.Sprintf("container-%d.env", d.created))
	return os.WriteFile(d.snapshot, text, 0o600)
}

// withoutJWT returns the slugs for which the text of a supabase/config.toml has
// "verify_jwt = false". It reads nothing else of it.
func withoutJWT(config string) map[string]bool {
	open, slug := map[string]bool{}, ""
	for line := range strings.Lines(config) {
		line, _, _ = strings.Cut(strings.ReplaceAll(line, " ", ""), "#")
		line = strings.TrimSpace(line)
		if table, ok := strings.CutPrefix(line, "["); ok {
			slug, _ = strings.CutPrefix(strings.TrimSuffix(table, "]"), "functions.")
		} else if line == "verify_jwt=false" {
			open[slug] = true
		}
	}
	return open
}

// get returns the function that a request for a slug gets, or nil.
func (d *functionsDirectory) get(slug string) *function {
	entry := filepath.Join(slug, "index.ts")
	if !filepath.IsLocal(slug) || strings.ContainsAny(slug, `/\`) || !exists(filepath.Join(d.dir, entry)) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return &function{Slug: slug, Name: slug, Status: statusActive, bundle: &bundle{
		root: d.dir, entrypoint: filepath.ToSlash(entry),
		// Deno parses the env file itself. Variables that the process already has
		// take precedence, like "environment" over "env_file".
		flags: []string{"--env-file=" + d.snapshot},
	}}
}

// runnable returns what a new process for a slug runs. The key changes only with the
// container: a running process keeps its code. In the CLI's stack, it changes with each
// request.
func (d *functionsDirectory) runnable(slug string) (*function, []string, string) {
	f := d.get(slug)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.config != "" {
		d.requests++
	}
	return f, d.own, fmt.Sprint(d.created, d.requests)
}

// requiresJWT reports whether the CLI's stack requires a JWT for a slug.
func (d *functionsDirectory) requiresJWT(slug string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.open[slug]
}

// cliRouter is a stand-in for the router of the CLI's stack, as CLI 3.1.0 has it: it
// finds a function's files at each request, gives each request a process of its own,
// and requires a JWT for each function for which supabase/config.toml did not say
// otherwise when the stack started. Its errors are that router's.
//
// It leaves out: the settings of a function other than verify_jwt, deno.json and import
// maps, and keys that are not JWTs, in whose place the CLI's gateway passes a JWT.
type cliRouter struct {
	gateway   *gateway
	directory *functionsDirectory
}

// ServeHTTP serves /functions/v1/<slug> and what is below it.
func (r cliRouter) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	rest := strings.TrimPrefix(req.URL.Path, "/functions/v1/")
	slug, _, _ := strings.Cut(rest, "/")
	if r.directory.get(slug) == nil {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, "Function not found")
		return
	}
	if req.Method != http.MethodOptions && r.directory.requiresJWT(slug) {
		if refused := r.gateway.checkJWT(req); refused != nil {
			code := strings.Replace(refused.code, "_LEGACY_JWT", "_JWT", 1)
			w.Header().Set("Sb-Error-Code", code)
			writeJSON(w, refused.status, map[string]string{"code": code, "message": refused.message, "msg": refused.message})
			return
		}
	}
	r.gateway.pass(w, req, slug, rest, func(w http.ResponseWriter, problem gatewayError) {
		status, code, message := problem.status, problem.code, problem.message
		switch problem {
		case errBoot:
			message = "Worker failed to boot (please check logs)"
		case errWorkerEnded:
			message = "Worker failed to respond due to a resource limit (please check logs)"
		}
		writeJSON(w, status, map[string]string{"code": code, "message": message})
	})
}

// router is a stand-in for functions/main/index.ts of Supabase's Docker setup, which
// gets every request, requires a JWT for all functions or for none, and passes the
// request to the function's process. Its errors are the setup's.
type router struct {
	gateway   *gateway
	verifyJWT bool
}

// ServeHTTP serves /functions/v1/<slug> and what is below it.
func (r router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.verifyJWT && req.Method != http.MethodOptions {
		if refused := r.gateway.checkJWT(req); refused != nil {
			w.Header().Set("Sb-Error-Code", refused.code)
			writeJSON(w, refused.status, map[string]string{"code": refused.code, "message": refused.message, "msg": refused.message})
			return
		}
	}
	rest := strings.TrimPrefix(req.URL.Path, "/functions/v1/")
	slug, _, _ := strings.Cut(rest, "/")
	if slug == "" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"msg": "missing function name in request"})
		return
	}
	r.gateway.pass(w, req, slug, rest, func(w http.ResponseWriter, problem gatewayError) {
		text := "InvalidWorkerCreation: worker boot error: " + problem.message
		switch problem {
		case errNoFunction:
			text = "InvalidWorkerCreation: worker boot error: could not find an appropriate entrypoint"
		case errWorkerEnded:
			text = "WorkerRequestCancelled: request has been cancelled by supervisor"
		}
		writeJSON(w, http.StatusInternalServerError, map[string]string{"msg": text})
	})
}

// selfHosted replaces the Management API and the platform's functions in a stack.
type selfHosted struct {
	directory *functionsDirectory
	gateway   *gateway
}

// dockerWorkerLifetime is how long the Docker setup's router lets a process of
// a function live.
const dockerWorkerLifetime = time.Minute

// newSelfHosted creates the directory and the env file of a self-hosted project, with
// the application's functions.
func newSelfHosted(dir string, variables map[string]string, cli bool) (*functionsDirectory, error) {
	d := &functionsDirectory{dir: filepath.Join(dir, "volumes", "functions"), envFile: filepath.Join(dir, "functions.env")}
	if cli {
		project := filepath.Join(dir, "supabase")
		d = &functionsDirectory{dir: filepath.Join(project, "functions"), envFile: filepath.Join(project, "functions", ".env"), config: filepath.Join(project, "config.toml")}
	} else {
		// The setup's router is also a function in that directory.
		router := map[string]string{"index.ts": "// The stack has its router in Go: see internal/stack/selfhosted.go.\n"}
		if err := d.put("main", router); err != nil {
			return nil, err
		}
	}
	sample, err := SampleFunctions()
	if err != nil {
		return nil, err
	}
	for slug, files := range sample {
		if err := d.put(slug, files); err != nil {
			return nil, err
		}
	}
	var lines strings.Builder
	lines.WriteString("# What the functions of this project need.\n")
	for _, name := range sortedNames(variables) {
		fmt.Fprintf(&lines, "%s=%s\n", name, variables[name])
	}
	return d, os.WriteFile(d.envFile, []byte(lines.String()), 0o600)
}

// put writes files into a function's directory, by their paths in it.
func (d *functionsDirectory) put(slug string, files map[string]string) error {
	for name, content := range files {
		file := filepath.Join(d.dir, slug, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func sortedNames(values map[string]string) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// RecreateFunctions recreates the runtime of a self-hosted project, like "docker compose
// up -d --force-recreate --no-deps functions": requests in progress are cut, and the env
// file is read again.
func (s *Stack) RecreateFunctions() error {
	if s.selfHosted == nil {
		return errors.New("the functions of a hosted project have no container")
	}
	if err := s.selfHosted.directory.create(); err != nil {
		return err
	}
	s.selfHosted.gateway.each("", (*worker).kill)
	return nil
}

// control serves POST /recreate for RestartCommand.
func (s *Stack) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /recreate", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.RecreateFunctions(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintln(w, "recreated")
	})
	return mux
}

// restartCommand returns a program that calls RecreateFunctions.
func restartCommand(deno, controlURL string) []string {
	script := fmt.Sprintf("const r = await fetch(%q, { method: 'POST' }); console.log(await r.text()); if (!r.ok) Deno.exit(1)", controlURL+"/recreate")
	return []string{deno, "eval", "--no-lock", "--quiet", script}
}

// startSelfHosted makes the functions of a self-hosted project.
func (s *Stack) startSelfHosted(ctx context.Context, opts Options, controlURL, host, mailURL string) (http.Handler, error) {
	deno, err := Deno()
	if err != nil {
		return nil, err
	}
	runtime := filepath.Join(s.dir, "runtime")
	if err := os.MkdirAll(runtime, 0o750); err != nil {
		return nil, err
	}
	d, err := newSelfHosted(s.dir, map[string]string{"RESEND_API_KEY": s.keys.resend, "RESEND_API_URL": mailURL}, opts.CLIStack)
	if err != nil {
		return nil, err
	}
	d.own = denoEnviron(runtime)
	for name, value := range map[string]string{
		"JWT_SECRET": string(s.keys.jwtSecret), "SUPABASE_URL": s.ProjectURL, "SUPABASE_PUBLIC_URL": s.ProjectURL,
		"SUPABASE_ANON_KEY": s.keys.anon, "SUPABASE_SERVICE_ROLE_KEY": s.keys.serviceRole,
		"SUPABASE_DB_URL": s.DatabaseURL, "VERIFY_JWT": fmt.Sprint(opts.VerifyJWT),
	} {
		d.own = append(d.own, name+"="+value)
	}
	if s.S3 != nil {
		d.own = append(d.own, "DENO_CERT="+s.S3.CAFile)
	}
	if err := d.create(); err != nil {
		return nil, err
	}
	s.gateway, err = newGateway(&s.keys, d, deno, limits{wallClock: opts.FunctionWallClock, idle: opts.FunctionIdleTimeout}, host, runtime, s.startProcess)
	if err != nil {
		return nil, err
	}
	s.gateway.jwtsOnly = true // as the runtime's main function
	s.selfHosted = &selfHosted{directory: d, gateway: s.gateway}
	s.FunctionsDir, s.EnvFile, s.RestartCommand = d.dir, d.envFile, restartCommand(deno, controlURL)
	if opts.CLIStack {
		return cliRouter{gateway: s.gateway, directory: d}, ctx.Err()
	}
	return router{gateway: s.gateway, verifyJWT: opts.VerifyJWT}, ctx.Err()
}
