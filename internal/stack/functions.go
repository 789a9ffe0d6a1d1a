package stack

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed edge/main.ts
var edgeMain []byte

// gateway is a stand-in for the gateway in front of a project's Edge Functions: it
// checks JWTs for functions that require one, starts one Deno process for each deployed
// function and state of its secrets, passes requests on, and responds with Supabase's
// errors if a function cannot.
//
// It leaves out: regions, more than one instance of a function, the budget of
// calls between functions, the limit of CPU time, and asymmetric JWTs. A
// request whose caller is gone still protects its instance from an early drop.
type gateway struct {
	keys   *keys
	store  functionSource
	deno   string
	limits limits
	// jwtsOnly is the behaviour before publishable and secret keys.
	jwtsOnly bool
	host     string // the project's host, as a function sees it
	dir      string // holds main.ts
	start    func(*exec.Cmd) (*process, error)
	// after calls do after a duration, unless the function that it returns is
	// called before.
	after func(d time.Duration, do func()) (stop func() bool)

	transport *http.Transport

	mu      sync.Mutex
	closed  bool
	current map[string]*worker // by slug: takes new requests
	all     map[*worker]bool
	logs    map[string]*functionLog
	broken  map[string]bool // slugs whose processes are made to fail at start
}

// functionSource provides a project's functions.
type functionSource interface {
	// get returns the function with this slug, or nil.
	get(slug string) *function
	// runnable returns what is needed to run a function: the function or nil, its
	// environment, and a key that changes when a running process may accept no
	// more requests.
	runnable(slug string) (f *function, environ []string, key string)
}

// limits are those of a function, see https://supabase.com/docs/guides/functions/limits.
type limits struct {
	wallClock time.Duration // life of an instance
	idle      time.Duration // until the first byte of a response
}

// newGateway returns a gateway whose processes are started by start.
func newGateway(k *keys, store functionSource, deno string, l limits, host, dir string, start func(*exec.Cmd) (*process, error)) (*gateway, error) {
	if err := os.WriteFile(filepath.Join(dir, "main.ts"), edgeMain, 0o600); err != nil {
		return nil, err
	}
	return &gateway{
		keys: k, store: store, deno: deno, limits: l, host: host, dir: dir, start: start,
		after:     func(d time.Duration, do func()) func() bool { return time.AfterFunc(d, do).Stop },
		transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: l.idle},
		current:   map[string]*worker{}, all: map[*worker]bool{},
		logs: map[string]*functionLog{}, broken: map[string]bool{},
	}, nil
}

// worker is one process of a function.
type worker struct {
	gateway *gateway
	slug    string
	key     string        // of the code and the environment that it runs with
	started chan struct{} // closed when the process runs, or could not be started
	booted  chan struct{} // closed when it takes requests, or failed to
	ended   chan struct{} // closed when it is gone

	log     *functionLog
	process *process       // set before started is closed; nil if there is none
	stdin   io.WriteCloser // as process
	err     error          // set before booted is closed
	address string         // as err

	// Guarded by the gateway's mu.
	requests int
	retired  string // why it takes no new requests; empty while it does
	draining bool   // it was told to end when it is idle
}

// The gateway's own responses.
var (
	errNoAuthHeader    = gatewayError{401, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"}
	errJWTShape        = gatewayError{401, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid Token or Protected Header formatting"}
	errLegacyJWT       = gatewayError{401, "UNAUTHORIZED_LEGACY_JWT", "Invalid JWT"}
	errAsymmetricJWT   = gatewayError{401, "UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT"}
	errJWTUnsupported  = gatewayError{401, "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM", "Unsupported JWT algorithm"}
	errNoFunction      = gatewayError{404, "NOT_FOUND", "Requested function was not found"}
	errThrottled       = gatewayError{429, "RATE_LIMIT_EXCEEDED", "Too many requests"}
	errBoot            = gatewayError{503, "BOOT_ERROR", "Function failed to start (please check logs)"}
	errIdleTimeout     = gatewayError{504, "IDLE_TIMEOUT", "Function did not respond in time"}
	errWorkerEnded     = gatewayError{546, "WORKER_LIMIT", "Function failed due to not having enough compute resources (please check logs)"}
	errRequestTooLarge = gatewayError{413, "REQUEST_TOO_LARGE", "Request body is too large"}
)

// gatewayError is an error response of the gateway.
type gatewayError struct {
	status  int
	code    string
	message string
}

func (e gatewayError) Error() string { return e.code + ": " + e.message }

func (e gatewayError) write(w http.ResponseWriter) {
	// JWT errors have the status as code, others a name.
	var code any = e.code
	if e.status == http.StatusUnauthorized {
		code = e.status
	}
	w.Header().Set("Sb-Error-Code", e.code)
	writeJSON(w, e.status, struct {
		Code    any    `json:"code"`
		Message string `json:"message"`
	}{code, e.message})
}

// ServeHTTP serves /functions/v1/<slug> and what is below it.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest := strings.TrimPrefix(r.URL.Path, "/functions/v1/")
	slug, _, _ := strings.Cut(rest, "/")
	f := g.store.get(slug)
	if f == nil || f.Status == statusRemoved {
		errNoFunction.write(w)
		return
	}
	if f.VerifyJWT && r.Method != http.MethodOptions {
		if err := g.checkJWT(r); err != nil {
			err.write(w)
			return
		}
	}
	if f.Status == statusThrottled {
		errThrottled.write(w)
		return
	}
	if f.bundle == nil {
		errNoFunction.write(w)
		return
	}
	g.pass(w, r, slug, rest, func(w http.ResponseWriter, problem gatewayError) { problem.write(w) })
}

// pass passes a request on to a function's process. fail responds if the function
// cannot.
func (g *gateway) pass(w http.ResponseWriter, r *http.Request, slug, rest string, fail func(http.ResponseWriter, gatewayError)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBundleBytes))
	if err != nil {
		fail(w, errRequestTooLarge)
		return
	}
	// The function and its process continue when the caller has gone.
	ctx := context.WithoutCancel(r.Context())
	wk, err := g.acquire(ctx, slug)
	if err != nil {
		var known gatewayError
		if !errors.As(err, &known) {
			known = errBoot
		}
		fail(w, known)
		return
	}
	defer g.release(wk)
	proxy := &httputil.ReverseProxy{
		Transport: g.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{
				Scheme: "http", Host: wk.address,
				Path: "/" + rest, RawQuery: r.URL.RawQuery,
			}
			p.Out.Host = g.host
			p.SetXForwarded()
			p.Out.Body, p.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		},
		ModifyResponse: func(response *http.Response) error {
			if response.StatusCode >= 500 {
				response.Header.Set("Sb-Error-Code", "EDGE_FUNCTION_ERROR")
			}
			response.Header.Set("X-Served-By", "supabase-edge-runtime")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				fail(w, errIdleTimeout)
				return
			}
			fail(w, errWorkerEnded)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
}

// checkJWT checks the keys for verify_jwt. It accepts any JWT of the project, whatever
// its role, as bearer token. The gateway of today also accepts a publishable or secret
// key in either header, if there is no wrong bearer token beside it.
func (g *gateway) checkJWT(r *http.Request) *gatewayError {
	header := r.Header.Get("Authorization")
	if !g.jwtsOnly {
		key := r.Header.Get("apikey")
		if bearer, ok := strings.CutPrefix(header, "Bearer "); ok {
			key = bearer
		} else if header != "" {
			key = ""
		}
		if key != "" && (key == g.keys.publishable || key == g.keys.secret) {
			return nil
		}
	}
	if header == "" {
		return &errNoAuthHeader
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return &errJWTShape
	}
	_, err := g.keys.verify(token, time.Now())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errJWTFormat):
		return &errJWTShape
	case errors.Is(err, errJWTAlgorithm):
		if strings.Contains(err.Error(), "ES256") || strings.Contains(err.Error(), "RS256") {
			return &errAsymmetricJWT
		}
		return &errJWTUnsupported
	default:
		return &errLegacyJWT
	}
}

// acquire returns the worker for a request to slug. It starts one if there is none for
// the current code and secrets. The caller releases it.
func (g *gateway) acquire(ctx context.Context, slug string) (*worker, error) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, errBoot
	}
	f, environ, key := g.store.runnable(slug)
	if f == nil || f.bundle == nil {
		g.mu.Unlock()
		return nil, errNoFunction
	}
	wk := g.current[slug]
	if wk != nil && wk.key != key {
		g.retire(wk, "termination")
		wk = nil
	}
	if wk == nil {
		wk = g.newWorker(slug, key)
		g.current[slug] = wk
		g.all[wk] = true
		go wk.run(ctx, f.bundle, environ, g.broken[slug])
	}
	wk.requests++
	g.mu.Unlock()
	<-wk.booted
	if wk.err != nil {
		g.release(wk)
		return nil, wk.err
	}
	return wk, nil
}

// release ends a request's use of a worker.
func (g *gateway) release(wk *worker) {
	g.mu.Lock()
	defer g.mu.Unlock()
	wk.requests--
	g.drainIfIdle(wk)
}

// retire makes a worker accept no more requests and end when it has nothing left to do.
// The caller holds mu.
func (g *gateway) retire(wk *worker, reason string) {
	if g.current[wk.slug] == wk {
		delete(g.current, wk.slug)
	}
	if wk.retired == "" {
		wk.retired = reason
	}
	g.drainIfIdle(wk)
}

// drainIfIdle tells a retired worker without requests to end. The caller holds
// mu.
func (g *gateway) drainIfIdle(wk *worker) {
	if wk.retired == "" || wk.requests > 0 || wk.draining {
		return
	}
	wk.draining = true
	go func() {
		<-wk.booted
		wk.command("drain", wk.retired)
	}()
}

// newWorker returns a worker that runs nothing yet. The caller holds mu.
func (g *gateway) newWorker(slug, key string) *worker {
	if g.logs[slug] == nil {
		g.logs[slug] = &functionLog{}
	}
	return &worker{
		gateway: g, slug: slug, key: key, log: g.logs[slug],
		started: make(chan struct{}), booted: make(chan struct{}), ended: make(chan struct{}),
	}
}

const (
	memoryMB    = 256              // what a function may hold
	bootTimeout = 30 * time.Second // what it may take to load
)

// run starts the process and waits for its end.
func (wk *worker) run(ctx context.Context, b *bundle, environ []string, broken bool) {
	g := wk.gateway
	defer func() {
		g.mu.Lock()
		if g.current[wk.slug] == wk {
			delete(g.current, wk.slug)
		}
		delete(g.all, wk)
		g.mu.Unlock()
		close(wk.ended)
	}()
	boot := func(err error) {
		wk.err = err
		close(wk.booted)
	}
	events, err := wk.startProcess(ctx, b, environ, broken)
	close(wk.started)
	if err != nil {
		_, _ = fmt.Fprintln(wk.log, "worker boot error:", err)
		boot(errBoot)
		return
	}
	// The process reports where it listens and whether the function's module could
	// be loaded; or it ends, or takes too long.
	booting := time.AfterFunc(bootTimeout, func() { _ = wk.process.signal(syscall.SIGKILL) })
	booted := false
	for event := range events {
		switch event.Event {
		case "listening":
			wk.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(event.Port))
		case "booted":
			if !booted {
				booted = true
				booting.Stop()
				boot(nil)
				go wk.supervise()
			}
		}
	}
	<-wk.process.done
	booting.Stop()
	_ = wk.stdin.Close()
	if !booted {
		boot(errBoot)
	}
}

// workerEvent is a line that a process wrote on stdout.
type workerEvent struct {
	Event string
	Port  int
}

// startProcess starts Deno. The channel of its events is closed when its output
// ends.
func (wk *worker) startProcess(ctx context.Context, b *bundle, environ []string, broken bool) (<-chan workerEvent, error) {
	g := wk.gateway
	source := b.root
	entry := (&url.URL{Scheme: "file", Path: filepath.Join(source, filepath.FromSlash(b.entrypoint))}).String()
	if broken {
		entry = "data:text/javascript,throw%20new%20Error(%22made%20to%20fail%22)"
	}
	args := append([]string{"run", "--quiet", "--no-prompt"}, b.configFlags()...)
	args = append(args,
		"--allow-net", "--allow-env", "--allow-read="+source,
		"--v8-flags=--max-old-space-size="+strconv.Itoa(memoryMB),
		filepath.Join(g.dir, "main.ts"))
	cmd := exec.CommandContext(ctx, g.deno, args...) //nolint:gosec // the stack itself names the program
	cmd.Dir = source
	cmd.Env = environ
	stdin, stdinW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, stdoutW, err := os.Pipe()
	if err != nil {
		_ = stdin.Close()
		_ = stdinW.Close()
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdoutW, wk.log
	process, err := g.start(cmd)
	_ = stdin.Close()
	_ = stdoutW.Close()
	if err != nil {
		_ = stdinW.Close()
		_ = stdout.Close()
		return nil, err
	}
	wk.process, wk.stdin = process, stdinW
	if _, err := fmt.Fprintf(stdinW, "{\"entrypoint\":%q}\n", entry); err != nil {
		_, _ = fmt.Fprintln(wk.log, "worker boot error:", err)
	}
	events := make(chan workerEvent)
	go func() {
		defer close(events)
		defer func() { _ = stdout.Close() }()
		lines := bufio.NewReader(stdout)
		for {
			line, err := lines.ReadBytes('\n')
			var event workerEvent
			if json.Unmarshal(line, &event) == nil && event.Event != "" {
				events <- event
			} else {
				_, _ = wk.log.Write(line)
			}
			if err != nil {
				return
			}
		}
	}()
	return events, nil
}

// supervise limits the worker's lifetime as Supabase does: one without requests is
// dropped after half of its time; a busy one is warned after nine tenths, and killed at
// the end.
func (wk *worker) supervise() {
	g := wk.gateway
	wall := g.limits.wallClock
	stops := []func() bool{
		g.after(wall/2, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if wk.requests == 0 {
				g.retire(wk, "early_drop")
			}
		}),
		g.after(wall*9/10, func() {
			g.mu.Lock()
			g.retire(wk, "wall_clock")
			g.mu.Unlock()
			wk.command("beforeunload", "wall_clock")
		}),
		g.after(wall, func() { _ = wk.process.signal(syscall.SIGKILL) }),
	}
	<-wk.process.done
	for _, stop := range stops {
		stop()
	}
}

// command sends a command to the process, which may already have ended.
func (wk *worker) command(command, reason string) {
	if wk.err == nil {
		_, _ = fmt.Fprintf(wk.stdin, "{\"command\":%q,\"reason\":%q}\n", command, reason)
	}
}

// kill ends a slug's processes at once, those that are draining included, and
// returns when they are gone.
func (g *gateway) kill(slug string) {
	g.each(slug, (*worker).kill)
}

// kill ends the process and returns when it is gone.
func (wk *worker) kill() {
	<-wk.started
	if wk.process != nil {
		_ = wk.process.signal(syscall.SIGKILL)
	}
	<-wk.ended
}

// terminate ends a slug's processes as a limit does: the function gets the reason and
// a grace period, and is then killed.
func (g *gateway) terminate(slug, reason string, grace time.Duration) {
	g.each(slug, func(wk *worker) {
		<-wk.booted
		if wk.err == nil {
			g.mu.Lock()
			g.retire(wk, reason)
			g.mu.Unlock()
			wk.command("beforeunload", reason)
			stop := g.after(grace, func() { _ = wk.process.signal(syscall.SIGKILL) })
			defer stop()
		}
		<-wk.ended
	})
}

// each calls do for all processes of a slug at the same time.
func (g *gateway) each(slug string, do func(*worker)) {
	var wg sync.WaitGroup
	g.mu.Lock()
	for wk := range g.all {
		if slug == "" || wk.slug == slug {
			wg.Go(func() { do(wk) })
		}
	}
	g.mu.Unlock()
	wg.Wait()
}

// processes counts a slug's processes.
func (g *gateway) processes(slug string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for wk := range g.all {
		if wk.slug == slug {
			n++
		}
	}
	return n
}

// usage reads from /proc what a slug's processes have used.
func (g *gateway) usage(slug string) (processor time.Duration, memory int64, err error) {
	var pids []int
	g.mu.Lock()
	for wk := range g.all {
		if wk.slug == slug && wk.process != nil {
			pids = append(pids, wk.process.cmd.Process.Pid)
		}
	}
	g.mu.Unlock()
	for _, pid := range pids {
		schedule, readErr := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/schedstat", pid))
		status, statusErr := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err := errors.Join(readErr, statusErr); err != nil {
			return 0, 0, err
		}
		var nanoseconds, kilobytes int64
		if _, err := fmt.Sscan(string(schedule), &nanoseconds); err != nil {
			return 0, 0, fmt.Errorf("read the processor time of process %d: %w", pid, err)
		}
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		if _, err := fmt.Sscan(peak, &kilobytes); err != nil {
			return 0, 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
		}
		processor, memory = processor+time.Duration(nanoseconds), max(memory, kilobytes<<10)
	}
	return processor, memory, nil
}

// discard ends a slug's process when it is idle. The next request starts another one if
// the function still exists.
func (g *gateway) discard(slug string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wk := g.current[slug]; wk != nil {
		g.retire(wk, "termination")
	}
}

// setBroken sets whether the next processes of a slug fail at their start. The current
// process accepts no more requests.
func (g *gateway) setBroken(slug string, broken bool) {
	g.mu.Lock()
	g.broken[slug] = broken
	g.mu.Unlock()
	g.discard(slug)
}

// close ends all processes.
func (g *gateway) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.each("", (*worker).kill)
	g.transport.CloseIdleConnections()
}

// log returns everything that a slug's processes printed.
func (g *gateway) log(slug string) string {
	g.mu.Lock()
	log := g.logs[slug]
	g.mu.Unlock()
	if log == nil {
		return ""
	}
	return log.String()
}

// functionLog keeps the end of what was written to it.
type functionLog struct {
	mu   sync.Mutex
	text []byte
}

const maxFunctionLog = 1 << 20

// Write adds to the log.
func (l *functionLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > 2*maxFunctionLog {
		l.text = append([]byte(nil), l.text[len(l.text)-maxFunctionLog:]...)
	}
	return len(p), nil
}

func (l *functionLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
