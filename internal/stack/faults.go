package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Fault is what goes wrong with one remote call.
type Fault int

// The faults. Those of HTTP are for calls of the Management API, KillSession is for
// calls of the database, and the others are for both.
const (
	// ServerError responds with 500 and does nothing.
	ServerError Fault = iota
	// RateLimited responds with 429 to this call and to all others of its endpoint
	// until the window ends, and does nothing.
	RateLimited
	// CutBefore ends the connection before the server does anything.
	CutBefore
	// CutAfter ends the connection instead of responding, after the server has done
	// everything.
	CutAfter
	// Hang responds neither to this call nor to later ones until Release.
	Hang
	// KillSession ends the caller's database session.
	KillSession
	// CrashDatabase crashes and restarts PostgreSQL, and then lets the call pass.
	CrashDatabase
	// Interfere runs Trap.Act, which changes something, and then lets the call pass.
	Interfere
	// Kill runs Trap.Act, which kills the caller; the server still carries out the
	// call.
	Kill
)

// Faults are all faults.
var Faults = []Fault{ServerError, RateLimited, CutBefore, CutAfter, Hang, KillSession, CrashDatabase, Interfere, Kill}

func (f Fault) String() string {
	return [...]string{
		"error 500", "rate limit", "cut before", "cut after", "hang", "session killed", "PostgreSQL crashed", "interference", "process killed",
	}[f]
}

// Is reports whether the fault is one of the given ones.
func (f Fault) Is(those ...Fault) bool { return slices.Contains(those, f) }

// Possible reports whether the fault can happen to a call.
func (f Fault) Possible(c RemoteCall) bool {
	if f == KillSession {
		return c.Name == statement
	}
	return c.Name != statement || f != ServerError && f != RateLimited
}

// statement is the name of a call of the database.
const statement = "SQL"

// RemoteCall is one call of an operation: the Nth, from 1, with its name. The name is
// needed because calls are made at the same time.
type RemoteCall struct {
	// Name is the endpoint, or "SQL" for a request over a database connection.
	Name string
	N    int
}

func (c RemoteCall) String() string { return fmt.Sprintf("%s #%d", c.Name, c.N) }

// Trap is a fault and the call at which it happens.
type Trap struct {
	Call  RemoteCall
	Fault Fault
	// Window is how long the rate limit lasts, in whole seconds; 0 means 1.
	Window time.Duration
	// Act is what Interfere and Kill do. With Hang it runs, if it is set, when the
	// call hangs.
	Act func()
}

// FaultyStack counts the remote calls of one operation at a time, and makes one call of
// it fail. It is between a client and the stack's Management API, and with its
// DatabaseURL between a client and the database.
type FaultyStack struct {
	// DatabaseURL connects as postgres.
	DatabaseURL string

	stack *Stack
	proxy *DatabaseProxy
	// requests counts the requests to the Management API in progress.
	requests sync.WaitGroup

	mu     sync.Mutex
	counts map[string]int
	calls  []RemoteCall
	trap   *Trap
	before func(RemoteCall)
	sprung bool
	failed error
	// hanging says that no call gets a response any more. closed has the endpoints
	// that refuse requests, with the time until which they do.
	hanging bool
	closed  map[string]time.Time
}

// Faulty returns a FaultyStack for the stack. There may be only one at a time.
func (s *Stack) Faulty() (*FaultyStack, error) {
	proxy, err := NewDatabaseProxy(s.DatabaseURL)
	if err != nil {
		return nil, err
	}
	f := &FaultyStack{DatabaseURL: proxy.URL, stack: s, proxy: proxy}
	f.Begin(nil, nil)
	proxy.Intercept(f.statement)
	s.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.request(w, r, next) })
	})
	return f, nil
}

// Close removes the faults.
func (f *FaultyStack) Close() {
	f.stack.InterceptAPI(nil)
	f.proxy.Close()
}

// Begin begins an operation. trap may be nil. before, which may be nil, is called
// before each call, and the call waits for it.
func (f *FaultyStack) Begin(trap *Trap, before func(RemoteCall)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts, f.calls, f.closed = map[string]int{}, nil, map[string]time.Time{}
	f.trap, f.before, f.sprung, f.failed, f.hanging = trap, before, false, nil, false
}

// End ends the operation. It returns its calls in order, and whether the trap was
// sprung, or an error if the fault could not be made. It waits for calls that a caller
// has left in progress. Connections to the database must have been closed before.
func (f *FaultyStack) End() (calls []RemoteCall, sprung bool, err error) {
	f.requests.Wait()
	f.proxy.idle()
	f.mu.Lock()
	calls, sprung, err = f.calls, f.sprung, f.failed
	f.mu.Unlock()
	f.Begin(nil, nil)
	return calls, sprung, err
}

// Settle waits until the requests to the Management API in progress are done.
func (f *FaultyStack) Settle() { f.requests.Wait() }

// Release lets calls pass again after one that hangs, which itself never gets a
// response.
func (f *FaultyStack) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hanging = false
}

// arrive counts a call. It returns the trap if this is its call, and whether the call
// hangs or is refused because of an earlier one.
func (f *FaultyStack) arrive(name string) (trap *Trap, hangs bool, closed time.Time) {
	f.mu.Lock()
	f.counts[name]++
	call := RemoteCall{name, f.counts[name]}
	f.calls = append(f.calls, call)
	before := f.before
	f.mu.Unlock()
	if before != nil {
		before(call)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trap != nil && f.trap.Call == call {
		trap, f.sprung = f.trap, true
		f.hanging = f.hanging || trap.Fault == Hang
		if trap.Fault == RateLimited {
			f.closed[name] = time.Now().Add(max(trap.Window, time.Second))
		}
	}
	return trap, f.hanging, f.closed[name]
}

// request handles a call of the Management API.
func (f *FaultyStack) request(w http.ResponseWriter, r *http.Request, next http.Handler) {
	f.requests.Add(1)
	defer f.requests.Done()
	_, name := f.stack.management.mux.Handler(r)
	// The server notices that a client has gone only after it has read the body.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	trap, hangs, closed := f.arrive(name)
	if hangs {
		trap.hung()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if wait := time.Until(closed); wait > 0 {
		seconds := strconv.Itoa(int(wait/time.Second) + 1)
		maps.Copy(w.Header(), http.Header{
			"X-Ratelimit-Limit": {"120"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {seconds}, "Retry-After": {seconds},
		})
		fail(w, apiErrorf(http.StatusTooManyRequests, "ThrottlerException: Too Many Requests"))
		return
	}
	if trap == nil {
		next.ServeHTTP(w, r)
		return
	}
	f.happen(trap) //nolint:contextcheck // the request may be given up while this happens
	switch fault := trap.Fault; {
	case fault.Is(ServerError):
		fail(w, apiErrorf(http.StatusInternalServerError, "Internal Server Error"))
	case fault.Is(CutBefore):
		panic(http.ErrAbortHandler)
	case fault.Is(CutAfter, Kill):
		// The server continues when the client has gone.
		next.ServeHTTP(&lostAnswer{header: http.Header{}}, r.WithContext(context.WithoutCancel(r.Context())))
		panic(http.ErrAbortHandler)
	default:
		next.ServeHTTP(w, r)
	}
}

// statement handles a call of the database.
func (f *FaultyStack) statement(port int) ProxyFault {
	trap, hangs, _ := f.arrive(statement)
	switch {
	case hangs:
		trap.hung()
		return ProxySilence
	case trap == nil:
		return ProxyPass
	}
	f.happen(trap)
	switch fault := trap.Fault; {
	case fault.Is(CutBefore):
		return ProxyCutBefore
	case fault.Is(CutAfter, Kill):
		return ProxyCutAfter
	case fault.Is(KillSession):
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := f.stack.admin.Exec(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where client_port = $1", port)
		f.fails(err)
	}
	return ProxyPass
}

// hung runs Act when the trap's call hangs.
func (t *Trap) hung() {
	if t != nil && t.Fault == Hang && t.Act != nil {
		t.Act()
	}
}

// happen does what a fault does besides affecting the call.
func (f *FaultyStack) happen(trap *Trap) {
	switch fault := trap.Fault; {
	case fault.Is(Interfere, Kill):
		trap.Act()
	case fault.Is(CrashDatabase):
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		f.fails(f.stack.RestartPostgres(ctx, true))
		f.stack.admin.Reset()
	}
}

func (f *FaultyStack) fails(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = errors.Join(f.failed, err)
}

// lostAnswer is a ResponseWriter whose response is lost.
type lostAnswer struct{ header http.Header }

func (l *lostAnswer) Header() http.Header         { return l.header }
func (l *lostAnswer) Write(b []byte) (int, error) { return len(b), nil }
func (l *lostAnswer) WriteHeader(int)             {}
