package ratelimit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// headers are a response's, given as name, value, name, value.
func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// numbers are the headers that announce a window.
func numbers(limit, left, reset int) http.Header {
	return headers("X-RateLimit-Limit", strconv.Itoa(limit), "X-RateLimit-Remaining", strconv.Itoa(left), "X-RateLimit-Reset", strconv.Itoa(reset))
}

// TestAnnouncementOf proves which headers count as an announcement: whole numbers
// that can be true.
func TestAnnouncementOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header http.Header
		want   announcement
		ok     bool
	}{
		"as documented":   {numbers(120, 119, 60), announcement{120, 119, time.Minute}, true},
		"the smallest":    {numbers(1, 0, 0), announcement{1, 0, 0}, true},
		"an hour":         {numbers(120, 1, 3600), announcement{120, 1, time.Hour}, true},
		"more":            {numbers(120, 1, 3601), announcement{}, false},
		"no limit":        {numbers(0, 1, 60), announcement{}, false},
		"less than none":  {numbers(120, -1, 60), announcement{}, false},
		"before now":      {numbers(120, 1, -1), announcement{}, false},
		"nothing":         {http.Header{}, announcement{}, false},
		"without a limit": {headers("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "1"), announcement{}, false},
		"without a rest":  {headers("X-RateLimit-Limit", "1", "X-RateLimit-Reset", "1"), announcement{}, false},
		"without an end":  {headers("X-RateLimit-Limit", "1", "X-RateLimit-Remaining", "1"), announcement{}, false},
	} {
		if got, ok := announcementOf(c.header); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %t", name, got, ok)
		}
	}
}

// TestRetryAfter proves that both forms of the header are read, and that no wait
// is negative or longer than an hour.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	date := func(after time.Duration) string { return now.Add(after).Format(http.TimeFormat) }
	for value, want := range map[string]time.Duration{
		"0": 0, "42": 42 * time.Second, "3600": time.Hour, "3601": time.Hour, "-5": 0,
		"9223372036854775807": time.Hour, "9223372036854775808": time.Hour, "-9223372036854775809": 0, strings.Repeat("9", 1000): time.Hour,
		date(30 * time.Second): 30 * time.Second, date(2 * time.Hour): time.Hour, date(-time.Minute): 0, date(time.Hour): time.Hour,
		"": -1, "soon": -1, "1.5": -1,
	} {
		got, ok := RetryAfter(headers("Retry-After", value), now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %s, %t", value, got, ok)
		}
	}
}

// TestWindow proves what a window knows after each event, from a state in which a
// minute's window has begun.
func TestWindow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	begun := window{known: true, limit: 120, left: 3, ends: now.Add(time.Minute), sent: 7, answered: 5, pending: 2, serial: 1, told: true}
	next := window{known: true, limit: 120, left: 120, pending: 2, serial: 2}
	change := func(of window, do func(*window)) window {
		do(&of)
		return of
	}
	for name, c := range map[string]struct{ got, want window }{
		"not over":            {change(begun, func(w *window) { w.roll(now.Add(time.Minute - 1)) }), begun},
		"over":                {change(begun, func(w *window) { w.roll(now.Add(time.Minute)) }), next},
		"over without limit":  {change(window{known: true, ends: now}, func(w *window) { w.roll(now) }), window{serial: 1}},
		"never begun":         {change(window{known: true, limit: 5}, func(w *window) { w.roll(now) }), window{known: true, limit: 5}},
		"lost":                {change(begun, func(w *window) { w.lost(now) }), change(begun, func(w *window) { w.left = 2 })},
		"lost, unknown":       {change(window{limit: 5}, func(w *window) { w.lost(now) }), window{limit: 5}},
		"lost, no limit":      {change(window{known: true}, func(w *window) { w.lost(now) }), window{known: true}},
		"the last is lost":    {change(window{known: true, limit: 5, left: 1}, func(w *window) { w.lost(now) }), window{known: true, limit: 5, ends: now.Add(time.Minute)}},
		"one more is lost":    {change(window{known: true, limit: 5, left: 1, ends: now.Add(time.Second)}, func(w *window) { w.lost(now) }), window{known: true, limit: 5, ends: now.Add(time.Second)}},
		"the last but one":    {change(window{known: true, limit: 5, left: 2}, func(w *window) { w.lost(now) }), window{known: true, limit: 5, left: 1}},
		"refused":             {change(begun, func(w *window) { w.refused(now.Add(2*time.Minute), 60) }), change(begun, func(w *window) { w.left, w.limit, w.ends = 0, 60, now.Add(2*time.Minute) })},
		"refused for shorter": {change(begun, func(w *window) { w.refused(now.Add(time.Second), 0) }), change(begun, func(w *window) { w.left = 0 })},
		"refused at once":     {change(window{}, func(w *window) { w.refused(now, 0) }), window{known: true, ends: now}},
		"announced first": {
			change(window{}, func(w *window) { w.announced(announcement{120, 119, time.Minute}, now, now) }),
			window{known: true, limit: 120, left: 119, ends: now.Add(time.Minute + windowMargin), answered: 1},
		},
		"announced after its end": {
			change(next, func(w *window) { w.announced(announcement{120, 119, time.Minute}, now, now) }),
			window{known: true, limit: 120, left: 119, ends: now.Add(time.Minute + windowMargin), answered: 1, pending: 2, serial: 2},
		},
		"announced, although less is left": {
			change(window{known: true, limit: 120, left: 4}, func(w *window) { w.announced(announcement{120, 119, time.Minute}, now, now) }),
			window{known: true, limit: 120, left: 4, ends: now.Add(time.Minute + windowMargin), answered: 1},
		},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n%+v, want\n%+v", name, c.got, c.want)
		}
	}
	for name, c := range map[string]struct {
		w    window
		want bool
	}{
		"room": {window{known: true, limit: 5, left: 3, pending: 2}, false}, "all under way": {window{known: true, limit: 5, left: 2, pending: 2}, true},
		"unknown": {window{pending: 9}, false}, "over": {window{known: true, limit: 5, ends: now}, false},
	} {
		if got := c.w.blocked(now); got != c.want {
			t.Errorf("%s: blocked %t", name, got)
		}
	}
}

// tried is a request that was let through after a wait.
type tried struct {
	pass *Pass
	wait time.Duration
}

// try sends a request, given as "endpoint project".
func try(t *testing.T, p *Pacer, request string) tried {
	t.Helper()
	began := time.Now()
	endpoint, project, _ := strings.Cut(request, " ")
	pass, err := p.Enter(t.Context(), endpoint, project, false)
	if err != nil {
		t.Fatal(err)
	}
	return tried{pass, time.Since(began)}
}

func (r tried) answered(status int, header http.Header) {
	r.pass.Done(&http.Response{StatusCode: status, Header: header}, 5*time.Second)
}

func newPacer() *Pacer { return New(slog.New(slog.DiscardHandler)) }

// TestWaits proves how long a request waits after what the one before it was
// answered: not at all, or until exactly the moment from which it may be sent.
func TestWaits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		header http.Header
		lost   bool
		want   time.Duration
	}{
		"room":                      {status: 200, header: numbers(120, 1, 60)},
		"none left":                 {status: 200, header: numbers(120, 0, 60), want: time.Minute + windowMargin},
		"no numbers":                {status: 200, header: http.Header{}},
		"no answer":                 {lost: true},
		"refused":                   {status: 429, header: http.Header{}, want: 5*time.Second + windowMargin},
		"refused with numbers":      {status: 429, header: numbers(120, 0, 42), want: 42*time.Second + windowMargin},
		"refused with a time":       {status: 429, header: headers("Retry-After", "7"), want: 7*time.Second + windowMargin},
		"refused with both":         {status: 429, header: headers("Retry-After", "7", "X-RateLimit-Limit", "9", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "42"), want: 7*time.Second + windowMargin},
		"failed with numbers":       {status: 500, header: numbers(120, 0, 60), want: time.Minute + windowMargin},
		"failed without numbers":    {status: 500, header: http.Header{}},
		"the window's last second":  {status: 200, header: numbers(120, 0, 0), want: windowMargin},
		"refused, and another time": {status: 429, header: headers("Retry-After", "soon"), want: 5*time.Second + windowMargin},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPacer()
				first := try(t, p, "a")
				if c.lost {
					first.pass.Done(nil, 5*time.Second)
				} else {
					first.answered(c.status, c.header)
				}
				if got := try(t, p, "a").wait; got != c.want {
					t.Errorf("the next one waits %s, want %s", got, c.want)
				}
				if got := try(t, p, "b").wait; got != 0 {
					t.Errorf("another key waits %s", got)
				}
			})
		})
	}
	t.Run("refused, for longer than a window", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			try(t, p, "a").pass.Done(&http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{}}, time.Hour)
			if got := try(t, p, "a").wait; got != usualWindow+windowMargin {
				t.Errorf("the next one waits %s", got)
			}
		})
	})
}

// TestUnderWay proves that requests under way are counted as if they used up what
// is left, and that the end of one lets the next one through, unless it used the
// last.
func TestUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacer()
		try(t, p, "a").answered(200, numbers(120, 2, 60))
		one, two := try(t, p, "a"), try(t, p, "a")
		if one.wait+two.wait != 0 {
			t.Fatalf("two requests with room for two waited %s and %s", one.wait, two.wait)
		}
		next := make(chan tried)
		go func() { next <- try(t, p, "a") }()
		synctest.Wait()
		time.Sleep(3 * time.Second)
		select {
		case <-next:
			t.Fatal("a third one was let through")
		default:
		}
		// Its answer says that others have used none meanwhile.
		one.answered(200, numbers(120, 3, 57))
		third := <-next
		if third.wait != 3*time.Second {
			t.Errorf("the third one waited %s, want 3s", third.wait)
		}
		two.answered(200, numbers(120, 1, 57))
		third.answered(200, numbers(120, 0, 57))
		if got := try(t, p, "a").wait; got != 57*time.Second+windowMargin {
			t.Errorf("with nothing left, a request waited %s", got)
		}
	})
}

// TestLostRequestsCount proves that requests without an answer use up what is
// left, for a minute.
func TestLostRequestsCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacer()
		try(t, p, "a").answered(200, numbers(3, 2, 10))
		time.Sleep(10*time.Second + windowMargin) // the next window has three
		for range 3 {
			r := try(t, p, "a")
			if r.wait != 0 {
				t.Errorf("a request waited %s", r.wait)
			}
			r.pass.Done(nil, 0)
		}
		if got := try(t, p, "a").wait; got != usualWindow {
			t.Errorf("the fourth one waited %s", got)
		}
	})
}

// TestSharedCount proves that two refusals of windows that had room make all
// requests wait, that one does not, nor two of a window that had none, and that
// numbers which cannot come from one count for all end that.
func TestSharedCount(t *testing.T) {
	t.Parallel()
	refused := func(t *testing.T, p *Pacer, key string) {
		try(t, p, key).answered(429, numbers(120, 0, 30))
	}
	const wait = 30*time.Second + windowMargin
	t.Run("one", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			refused(t, p, "a")
			if got := try(t, p, "c").wait; got != 0 {
				t.Errorf("another key waits %s", got)
			}
		})
	})
	t.Run("two", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			refused(t, p, "a")
			time.Sleep(time.Second)
			refused(t, p, "b")
			if got := try(t, p, "c").wait; got != wait {
				t.Errorf("another key waits %s, want %s", got, wait)
			}
		})
	})
	t.Run("the first is forgotten", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			refused(t, p, "a")
			time.Sleep(wait)
			refused(t, p, "b")
			if got := try(t, p, "c").wait; got != 0 {
				t.Errorf("another key waits %s", got)
			}
		})
	})
	t.Run("the same one again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			refused(t, p, "a")
			time.Sleep(wait + 5*time.Second)
			refused(t, p, "a")
			if got := try(t, p, "c").wait; got != wait {
				t.Errorf("another key waits %s, want %s", got, wait)
			}
		})
	})
	t.Run("the same one much later", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			refused(t, p, "a")
			time.Sleep(2*wait + time.Second)
			refused(t, p, "a")
			if got := try(t, p, "c").wait; got != 0 {
				t.Errorf("another key waits %s", got)
			}
		})
	})
	t.Run("a window without room", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			for _, key := range []string{"a", "b"} {
				try(t, p, key).answered(429, numbers(1, 0, 30))
			}
			if got := try(t, p, "c").wait; got != 0 {
				t.Errorf("another key waits %s", got)
			}
		})
	})
	t.Run("the numbers say otherwise", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			refused(t, p, "a")
			refused(t, p, "b")
			try(t, p, "c").answered(200, numbers(120, 119, 60))
			// If all were counted together, this would be the second of them.
			try(t, p, "d").answered(200, numbers(120, 119, 60))
			refused(t, p, "e")
			if got := try(t, p, "f").wait; got != 0 {
				t.Errorf("another key waits %s", got)
			}
		})
	})
	t.Run("an endpoint over all projects", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			refused(t, p, "a one")
			refused(t, p, "a two")
			first := try(t, p, "a one")
			if first.wait != wait {
				t.Errorf("the endpoint waits %s for another project, want %s", first.wait, wait)
			}
			first.answered(200, numbers(120, 1, 30))
			// This is the first request to its endpoint, and the second of all.
			try(t, p, "b one").answered(200, numbers(120, 119, 30))
			try(t, p, "a two").answered(200, numbers(120, 0, 30))
			if got := try(t, p, "b two").wait; got != 0 {
				t.Errorf("another endpoint waits %s", got)
			}
			if got := try(t, p, "a four").wait; got != wait {
				t.Errorf("the endpoint waits %s for a third project, want %s", got, wait)
			}
		})
	})
	t.Run("the numbers agree", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPacer()
			refused(t, p, "a")
			refused(t, p, "b")
			try(t, p, "c").answered(200, numbers(120, 1, 60))
			try(t, p, "d").answered(200, numbers(120, 0, 60))
			if got := try(t, p, "e").wait; got != time.Minute+windowMargin {
				t.Errorf("another key waits %s", got)
			}
		})
	})
}

// TestEnterFails proves that a wait ends with the context, at once if its deadline
// is sooner than the window's end, and says for how long it would have been.
func TestEnterFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacer()
		try(t, p, "a").answered(200, numbers(120, 0, 49))
		began := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 50*time.Second-1)
		defer cancel()
		if _, err := p.Enter(short, "a", "", false); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no request for another 50s") || time.Since(began) != 0 {
			t.Errorf("too short a time: %v after %s", err, time.Since(began))
		}
		enough, cancel := context.WithTimeout(t.Context(), 51*time.Second)
		defer cancel()
		interrupted, interrupt := context.WithCancel(enough)
		time.AfterFunc(time.Second, interrupt)
		if _, err := p.Enter(interrupted, "a", "", false); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("an interrupt: %v after %s", err, time.Since(began))
		}
		if _, err := p.Enter(interrupted, "b", "", false); !errors.Is(err, context.Canceled) {
			t.Errorf("after the interrupt: %v", err)
		}
		if _, err := p.Enter(enough, "a", "", false); err != nil || time.Since(began) != 50*time.Second {
			t.Errorf("enough time: %v after %s", err, time.Since(began))
		}
	})
}

// TestWaitIsLogged proves that a wait for the limit is said once for each window,
// with the endpoint and the time, and one for an answer not at all.
func TestWaitIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := New(slog.New(slog.NewTextHandler(&log, nil)))
		first := try(t, p, "GET /a")
		first.answered(200, numbers(120, 1, 60))
		under := try(t, p, "GET /a")
		waits := make(chan tried)
		for range 3 {
			go func() { waits <- try(t, p, "GET /a") }()
		}
		synctest.Wait()
		if log.Len() != 0 {
			t.Errorf("while a request is under way, the log says %s", log.String())
		}
		under.answered(200, numbers(120, 0, 60))
		for _, r := range []tried{<-waits, <-waits, <-waits} {
			r.answered(200, numbers(120, 0, 30))
		}
		if _, err := p.Enter(t.Context(), "GET", "/a", false); err != nil {
			t.Fatal(err)
		}
		var said []string
		for line := range strings.Lines(log.String()) {
			if _, rest, ok := strings.Cut(line, "level=INFO "); ok {
				said = append(said, strings.TrimSpace(rest))
			}
		}
		want := []string{
			`msg="waiting for the rate limit of the Management API" endpoint="GET /a" for=1m1s`,
			`msg="waiting for the rate limit of the Management API" endpoint="GET /a" for=31s`,
		}
		if strings.Join(said, "\n") != strings.Join(want, "\n") {
			t.Errorf("the log says\n%s", strings.Join(said, "\n"))
		}
	})
}

// TestTellWaits proves that each request of a context with a function of its own calls it
// once for each window that it waits for, also where another request has said so in the
// log, and that nobody else's request calls it.
func TestTellWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(slog.New(slog.DiscardHandler))
		try(t, p, "GET /a").answered(200, numbers(120, 0, 60))
		var told []string
		ctx := TellWaits(t.Context(), func(message string) { told = append(told, message) })
		others := make(chan tried)
		go func() { others <- try(t, p, "GET /a") }()
		synctest.Wait()
		entered := make(chan *Pass)
		go func() {
			pass, err := p.Enter(ctx, "GET", "/a", false)
			if err != nil {
				t.Error(err)
			}
			entered <- pass
		}()
		synctest.Wait()
		want := []string{"waiting 1m1s for the rate limit of the Management API (GET)"}
		if !slices.Equal(told, want) {
			t.Errorf("of the first wait it told %q, not %q", told, want)
		}
		ours := make(chan tried)
		go func() { ours <- tried{pass: <-entered} }()
		for _, answered := range []tried{<-others, <-ours} {
			answered.answered(200, numbers(120, 0, 30))
		}
		for _, project := range []string{"/b", "/a"} {
			if _, err := p.Enter(ctx, "GET", project, false); err != nil {
				t.Fatal(err)
			}
		}
		if want = append(want, "waiting 31s for the rate limit of the Management API (GET)"); !slices.Equal(told, want) {
			t.Errorf("it told %q, not %q", told, want)
		}
	})
}

// Answers overtake each other, come late and speak of windows that are over.
// What is left is never believed to be more than it is.
func TestWindowAnnouncements(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	for name, test := range map[string]struct {
		left, reset      int
		sent, received   int // Seconds from now.
		wantLeft, wantIn int // The window's end is wantIn seconds from now.
	}{
		"next answer":            {99, 50, 10, 10, 99, 60},
		"overtaken answer":       {105, 50, 9, 10, 100, 60},
		"end known better":       {99, 48, 10, 11, 99, 60},
		"from the window before": {0, 1, 0, 1, 100, 60},
		"next window":            {119, 60, 61, 61, 119, 122},
		"long request":           {119, 60, -30, 40, 100, 60},
	} {
		w := window{known: true, limit: 120, left: 100, ends: at(60)}
		w.announced(announcement{limit: 120, left: test.left, reset: time.Duration(test.reset) * time.Second}, at(test.sent), at(test.received))
		if w.left != test.wantLeft || !w.ends.Equal(at(test.wantIn)) {
			t.Errorf("%s: left %d, ends in %s, want %d, %ds", name, w.left, w.ends.Sub(now), test.wantLeft, test.wantIn)
		}
	}
}
