package ratelimit

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An api counts requests in fixed windows of a minute, by what counted says of each, and
// answers after 300 ms.
type api struct {
	counted func(endpoint, project string) string

	mu      sync.Mutex
	counts  map[string]*count
	refused int
	served  int
}

type count struct {
	since time.Time
	n     int
}

const (
	apiLimit = 120
	apiTakes = 300 * time.Millisecond
)

// ask sends a request until it is not refused.
func (a *api) ask(ctx context.Context, p *Pacer, endpoint, project string, writes bool) error {
	for {
		pass, err := p.Enter(ctx, endpoint, project, writes)
		if err != nil {
			return err
		}
		time.Sleep(apiTakes / 2)
		status, header := a.answer(endpoint, project)
		time.Sleep(apiTakes / 2)
		pass.Done(&http.Response{StatusCode: status, Header: header}, time.Second)
		if status == http.StatusOK {
			return nil
		}
	}
}

func (a *api) answer(endpoint, project string) (int, http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name, now := a.counted(endpoint, project), time.Now()
	c := a.counts[name]
	if c == nil || now.Sub(c.since) >= time.Minute {
		c = &count{since: now}
		a.counts[name] = c
	}
	c.n++
	reset := int((time.Minute - now.Sub(c.since) + time.Second - 1) / time.Second)
	if c.n > apiLimit {
		a.refused++
		return http.StatusTooManyRequests, numbers(apiLimit, 0, reset)
	}
	a.served++
	return http.StatusOK, numbers(apiLimit, apiLimit-c.n, reset)
}

// An apply renews its lease so often while it waits for a request that does not renew it.
const (
	renewsEvery = 90 * time.Second / 4
	triesAgain  = 90 * time.Second / 16
)

// lease is that of an apply which makes requests.
type lease struct {
	// sending is held by the request that renews it.
	sending chan struct{}
	end     context.CancelFunc
	ended   sync.WaitGroup
}

// acquire returns a lease that is renewed until it is released.
func acquire(ctx context.Context, renew func(context.Context) error) *lease {
	ctx, end := context.WithCancel(ctx)
	l := &lease{sending: make(chan struct{}, 1), end: end}
	l.ended.Go(func() {
		for next := renewsEvery; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(next):
			}
			next = triesAgain
			select {
			case l.sending <- struct{}{}:
				if renew(ctx) == nil {
					next = renewsEvery
				}
				<-l.sending
			default:
			}
		}
	})
	return l
}

func (l *lease) release() {
	l.end()
	l.ended.Wait()
}

// TestFleet proves how long the first apply of 200 projects takes, ten at a time as
// Terraform does it: as long as the API takes to answer where each project has a limit of
// its own, and where requests are counted together, as many minutes as the limit makes of
// them and of the renewals of leases. Only those are refused that were under way when the
// first refusal told so.
func TestFleet(t *testing.T) {
	t.Parallel()
	const (
		projects, parallel = 200, 10

		read, write = "POST /database/query/read-only", "POST /database/query"
	)
	type request struct {
		endpoint string
		writes   bool
	}
	// What the plan and the apply of one backup ask for, which package fleet counts.
	requests := []request{
		{read, false}, {"GET /functions", false}, {"GET /secrets", false}, {read, false}, {read, false}, {"GET /functions", false}, {"GET /secrets", false},
		{read, false}, {read, false}, {"POST /secrets", true}, {write, true}, {"PATCH /functions", true}, {"GET /api-keys", false}, {write, true}, {write, true},
		{"GET /functions", false}, {"GET /secrets", false}, {write, true}, {write, true}, {"POST /secrets", true}, {"POST /functions/deploy", true}, {write, true}, {write, true},
	}
	const acquires = 14 // the request with which it acquires the lease, until the last one
	total := projects * len(requests)
	minutes := func(requests int) time.Duration {
		return time.Duration((requests+apiLimit-1)/apiLimit-1) * time.Minute
	}
	for name, c := range map[string]struct {
		counted func(endpoint, project string) string
		// together is how many requests are counted together; 0: no limit is reached.
		together int
		refused  int
	}{
		"as documented": {func(endpoint, project string) string { return endpoint + project }, 0, 0},
		"by endpoint":   {func(endpoint, _ string) string { return endpoint }, projects * 7, parallel},
		"together":      {func(string, string) string { return "" }, total, parallel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, p := &api{counted: c.counted, counts: map[string]*count{}}, newPacer()
				began := time.Now()
				next := make(chan string)
				var workers sync.WaitGroup
				for range parallel {
					workers.Go(func() {
						for project := range next {
							var l *lease
							for i, r := range requests {
								guarded := l != nil && r.endpoint == write
								if guarded {
									l.sending <- struct{}{}
								}
								if err := a.ask(t.Context(), p, r.endpoint, project, r.writes); err != nil {
									t.Error(err)
								}
								if guarded {
									<-l.sending
								}
								if i == acquires {
									l = acquire(t.Context(), func(ctx context.Context) error { return a.ask(ctx, p, write, project, true) })
								}
							}
							l.release()
						}
					})
				}
				for n := range projects {
					next <- string(rune('a'+n/26)) + string(rune('a'+n%26))
				}
				close(next)
				workers.Wait()
				took := time.Since(began)
				renewals := a.served - total
				t.Logf("%d requests and %d renewals took %s, %d were refused", total, renewals, took, a.refused)
				if renewals < 0 {
					t.Errorf("%d requests were served, want %d", a.served, total)
				}
				least := time.Duration(total/parallel) * apiTakes
				most := least
				if c.together > 0 {
					least, most = minutes(c.together), minutes(c.together+renewals)+time.Minute
				}
				if took < least || took > most {
					t.Errorf("took %s, want %s to %s", took, least, most)
				}
				if a.refused > c.refused {
					t.Errorf("%d requests were refused, want at most %d", a.refused, c.refused)
				}
			})
		})
	}
}

// TestWritesFirst proves that requests that write take what is left of a shared window
// before those that read, though these have waited for longer, and that those that read
// follow.
func TestWritesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacer()
		// Two refusals of windows that had room: all are counted together.
		for _, request := range []string{"GET a", "GET b"} {
			try(t, p, request).answered(http.StatusTooManyRequests, numbers(4, 0, 30))
		}
		began := time.Now()
		var mu sync.Mutex
		var order []string
		var waiting sync.WaitGroup
		enter := func(endpoint, project string, writes bool) {
			waiting.Go(func() {
				pass, err := p.Enter(t.Context(), endpoint, project, writes)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, endpoint)
				left := apiLeft(len(order))
				mu.Unlock()
				time.Sleep(apiTakes)
				pass.Done(&http.Response{StatusCode: http.StatusOK, Header: numbers(4, left, 60)}, time.Second)
			})
			synctest.Wait()
		}
		for _, project := range []string{"c", "d", "e", "f"} {
			enter("GET", project, false)
		}
		for _, project := range []string{"g", "h", "i"} {
			enter("POST", project, true)
		}
		waiting.Wait()
		if took := time.Since(began); took < 90*time.Second || took > 95*time.Second {
			t.Errorf("took %s", took)
		}
		if got := strings.Join(order[:4], " "); strings.Count(got, "POST") != 3 {
			t.Errorf("in the first window went %s", got)
		}
		if len(order) != 7 {
			t.Errorf("%d went: %s", len(order), order)
		}
	})
}

// apiLeft is what is left of a window of four after some requests.
func apiLeft(requests int) int { return 3 - (requests-1)%4 }
