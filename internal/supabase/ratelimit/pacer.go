// Package ratelimit delays requests to the Management API so that it does not
// refuse them.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// windowMargin is added to the end of a window, which the API announces in
	// whole seconds.
	windowMargin = time.Second
	// usualWindow is the length of a window whose end was not announced.
	usualWindow = time.Minute
)

// A Pacer delays requests so that the API does not refuse them.
//
// The API counts requests in fixed windows of time, separately for each endpoint
// of each project. Every response says how many requests are left and when the
// window ends. Requests that are counted together share a window here.
//
// Other limits count the requests to one endpoint over all projects, or all
// requests of an account together, and a gateway in between may do so too. If
// several windows get refusals although they had room, their requests share a
// window of the endpoint and one of the account, each until the API's numbers
// contradict it.
//
// Where requests of several projects share a window, those that write take what is left
// of it first: a project that is half written should not wait for others to be read.
type Pacer struct {
	log *slog.Logger

	mu        sync.Mutex
	windows   map[key]*window
	endpoints map[string]*scope
	account   *scope
	// writes counts the requests that write and wait.
	writes map[key]int
	// changed is closed when a request may become possible.
	changed chan struct{}
}

// A key names the requests that the API counts together as documented.
type key struct{ endpoint, project string }

func (k key) String() string { return k.endpoint + " " + k.project }

// A scope is a set of windows whose requests may be counted together.
type scope struct {
	window
	shared bool
	// suspects are the windows that had room when a request was refused, each
	// with the time until which that is significant.
	suspects map[key]time.Time
}

func newScope() *scope { return &scope{suspects: map[key]time.Time{}} }

// A window is what is known about one count of requests.
type window struct {
	// known is false until the API has announced numbers or refused a request.
	known bool
	// limit is 0 until announced.
	limit int
	// left is the lowest remaining count reported in this window.
	left int
	// ends is a time at which the window is over, zero while none is open.
	ends time.Time
	// sent and answered count the requests in this window, pending those
	// without a response, whatever their window.
	sent, answered, pending int
	// serial changes with every new window.
	serial int
	// told says that a wait for this window was logged.
	told bool
}

// A Pass lets one request through. The caller must call Done.
type Pass struct {
	pacer  *Pacer
	key    key
	window *window
	scopes []scoped
	sentAt time.Time
}

// A scoped request knows the scope's window at the time at which it was sent.
type scoped struct {
	*scope
	serial, answered int
}

// New returns a Pacer that logs to log what it waits for.
func New(log *slog.Logger) *Pacer {
	return &Pacer{
		log:       log,
		windows:   map[key]*window{},
		endpoints: map[string]*scope{},
		account:   newScope(),
		writes:    map[key]int{},
		changed:   make(chan struct{}),
	}
}

// telling is the key of the function of TellWaits.
type telling struct{}

// TellWaits returns a context that calls tell each time one of its requests begins to wait
// for a window of the rate limit to end, with a message such as "waiting 31s for the rate
// limit of the Management API (GET functions)". The requests call it in their own goroutines.
func TellWaits(ctx context.Context, tell func(message string)) context.Context {
	return context.WithValue(ctx, telling{}, tell)
}

// Enter waits until a request to an endpoint of a project may be sent; writes says that it
// changes something. It fails immediately if the context's deadline is sooner than that.
func (p *Pacer) Enter(ctx context.Context, endpoint, project string, writes bool) (*Pass, error) {
	key := key{endpoint, project}
	if writes {
		p.mu.Lock()
		p.writes[key]++
		p.mu.Unlock()
		defer p.waited(key)
	}
	tellCaller, _ := ctx.Value(telling{}).(func(message string))
	var told time.Time // the end of the wait of which the caller knows
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p.mu.Lock()
		now := time.Now()
		blocking := p.blocking(key, now)
		if blocking == nil && (writes || !p.owed(key, now)) {
			entered := p.admit(key, now)
			p.mu.Unlock()
			return entered, nil
		}
		var exhausted, tell bool
		var ends time.Time
		if blocking != nil {
			exhausted, ends, tell = blocking.left <= 0, blocking.ends, !blocking.told
			blocking.told = blocking.told || exhausted
		}
		changed := p.changed
		p.mu.Unlock()

		wait := ends.Sub(now)
		if exhausted {
			if deadline, ok := ctx.Deadline(); ok && deadline.Before(ends) {
				return nil, fmt.Errorf("the rate limit allows no request for another %s: %w", wait.Round(time.Second), context.DeadlineExceeded)
			}
			if tell {
				p.log.LogAttrs(ctx, slog.LevelInfo, "waiting for the rate limit of the Management API",
					slog.String("endpoint", key.String()), slog.Duration("for", wait.Round(time.Second)))
			}
			if tellCaller != nil && !now.Before(told) {
				tellCaller(fmt.Sprintf("waiting %s for the rate limit of the Management API (%s)", wait.Round(time.Second), endpoint))
				told = ends
			}
		}
		if ends.IsZero() {
			// All remaining requests are in flight, or belong to writes that wake up just
			// now; an end of one of them will change that.
			wait = usualWindow
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// waited ends the wait of a request that writes, which may let others through.
func (p *Pacer) waited(key key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writes[key]--; p.writes[key] == 0 {
		delete(p.writes, key)
	}
	p.wake()
}

// wake lets everything that waits look again.
func (p *Pacer) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// owed reports whether what is left in a shared window of a request that reads belongs to
// requests that write, which could be sent now and have not woken up yet.
func (p *Pacer) owed(reading key, now time.Time) bool {
	var endpoint, account int
	for writing, n := range p.writes {
		if p.blocking(writing, now) != nil {
			continue
		}
		account += n
		if writing.endpoint == reading.endpoint {
			endpoint += n
		}
	}
	for i, s := range p.scopes(reading) {
		if ready := [...]int{endpoint, account}[i]; s.shared && s.known && ready > 0 && s.left-s.pending <= ready {
			return true
		}
	}
	return false
}

// blocking returns the window for which a request must wait, or nil. If there are
// several, it is the one that ends last.
func (p *Pacer) blocking(key key, now time.Time) *window {
	var last *window
	wait := func(w *window) {
		if last == nil || w.ends.After(last.ends) {
			last = w
		}
	}
	if w := p.window(key); w.blocked(now) {
		wait(w)
	}
	for _, s := range p.scopes(key) {
		if s.blocked(now) && s.shared {
			wait(&s.window)
		}
	}
	return last
}

func (p *Pacer) window(key key) *window {
	w := p.windows[key]
	if w == nil {
		w = &window{}
		p.windows[key] = w
	}
	return w
}

// scopes returns the scopes of a request.
func (p *Pacer) scopes(key key) [2]*scope {
	e := p.endpoints[key.endpoint]
	if e == nil {
		e = newScope()
		p.endpoints[key.endpoint] = e
	}
	return [...]*scope{e, p.account}
}

func (p *Pacer) admit(key key, now time.Time) *Pass {
	pass := &Pass{pacer: p, key: key, window: p.window(key), sentAt: now}
	pass.window.admit()
	for _, s := range p.scopes(key) {
		pass.scopes = append(pass.scopes, scoped{s, s.serial, s.answered})
		s.admit()
	}
	return pass
}

func (w *window) admit() {
	w.sent++
	w.pending++
}

// roll closes the window if it is over: the next one has the whole limit.
func (w *window) roll(now time.Time) {
	if !w.ends.IsZero() && !now.Before(w.ends) {
		w.ends = time.Time{}
		w.left = w.limit
		w.known = w.limit > 0
		w.restart()
	}
}

func (w *window) restart() {
	w.sent, w.answered, w.told = 0, 0, false
	w.serial++
}

// blocked reports whether another request could be refused. It assumes that
// pending requests are not yet counted in left.
func (w *window) blocked(now time.Time) bool {
	w.roll(now)
	return w.known && w.left-w.pending <= 0
}

// lost counts a request that got no response, or one without numbers.
func (w *window) lost(now time.Time) {
	if !w.known || w.limit == 0 {
		return
	}
	if w.left--; w.left <= 0 && w.ends.IsZero() {
		w.ends = now.Add(usualWindow)
	}
}

// announced updates the window from the response to a request sent at sentAt.
// Responses may arrive out of order and late, so the end of the window that a
// response speaks of is between sentAt+reset and now+reset.
func (w *window) announced(a announcement, sentAt, now time.Time) {
	earliest, latest := sentAt.Add(a.reset), now.Add(a.reset+windowMargin)
	switch {
	case !w.known || w.ends.IsZero():
		if w.known {
			w.left = min(w.left, a.left)
		} else {
			w.known, w.left = true, a.left
		}
		w.ends = latest
	case earliest.After(w.ends):
		w.restart()
		w.left, w.ends = a.left, latest
	case latest.Before(w.ends.Add(-2 * windowMargin)):
		// It is about a window that is over.
		return
	default:
		w.left = min(w.left, a.left)
		if latest.Before(w.ends) {
			w.ends = latest
		}
	}
	w.limit = a.limit
	w.answered++
}

// refused closes the window until a time.
func (w *window) refused(until time.Time, limit int) {
	if limit > 0 {
		w.limit = limit
	}
	w.known, w.left = true, 0
	if until.After(w.ends) {
		w.ends = until
	}
}

// An announcement is what a response says about its window.
type announcement struct {
	limit, left int
	reset       time.Duration
}

func announcementOf(h http.Header) (a announcement, ok bool) {
	limit, err1 := strconv.Atoi(h.Get("X-RateLimit-Limit"))
	left, err2 := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	reset, err3 := strconv.Atoi(h.Get("X-RateLimit-Reset"))
	if err1 != nil || err2 != nil || err3 != nil || limit <= 0 || left < 0 || reset < 0 || reset > 3600 {
		return announcement{}, false
	}
	return announcement{limit: limit, left: left, reset: time.Duration(reset) * time.Second}, true
}

// Done ends a request. response is nil if there was none. otherwise is how long
// to wait after a refusal that does not say; a usual window is enough.
func (s *Pass) Done(response *http.Response, otherwise time.Duration) {
	p := s.pacer
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	s.window.pending--
	for _, scope := range s.scopes {
		scope.pending--
	}
	defer p.wake()

	var numbers announcement
	var announced bool
	if response != nil {
		numbers, announced = announcementOf(response.Header)
	}
	switch {
	case response != nil && response.StatusCode == http.StatusTooManyRequests:
		wait, ok := RetryAfter(response.Header, now)
		if !ok && announced {
			wait, ok = numbers.reset, true
		}
		if !ok {
			wait = min(otherwise, usualWindow)
		}
		until := now.Add(wait + windowMargin)
		if announced && s.window.sent < numbers.limit {
			for _, scope := range s.scopes {
				scope.suspect(s.key, until, numbers.limit, now)
			}
		}
		s.window.refused(until, numbers.limit)
	case announced:
		s.window.announced(numbers, s.sentAt, now)
		for _, scope := range s.scopes {
			scope.announced(numbers, s.sentAt, now)
		}
	default:
		s.window.lost(now)
		for _, scope := range s.scopes {
			scope.lost(now)
		}
	}
}

// suspect records a refusal of a window that had room and decides whether the
// scope's requests are counted together.
func (s *scope) suspect(key key, until time.Time, limit int, now time.Time) {
	// A request that is refused again after it waited met others in between.
	before, again := s.suspects[key]
	again = again && now.Before(before.Add(until.Sub(now)))
	s.suspects[key] = until
	recent := 0
	for key, end := range s.suspects {
		switch {
		case now.Before(end):
			recent++
		case !now.Before(end.Add(usualWindow)):
			delete(s.suspects, key)
		}
	}
	if !s.shared && !again && recent < 2 {
		return
	}
	if !s.shared {
		s.shared = true
		s.restart()
	}
	s.refused(until, limit)
}

// announced updates a shared scope from the response to one of its requests, or
// finds that the scope's requests are not counted together.
func (s scoped) announced(numbers announcement, sentAt, now time.Time) {
	if !s.shared || numbers.limit != s.limit {
		return
	}
	s.window.announced(numbers, sentAt, now)
	// If all requests were counted together, those answered before this one was
	// sent would be missing from what is left.
	if s.serial == s.window.serial && numbers.left >= numbers.limit-s.answered && s.answered > 0 {
		s.shared = false
		s.known = false
		clear(s.suspects)
	}
}

// RetryAfter reads the header Retry-After in either of its forms.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := h.Get("Retry-After")
	// A number out of range is the largest or smallest int.
	if seconds, err := strconv.Atoi(value); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), 3600)) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), time.Hour), true
}
