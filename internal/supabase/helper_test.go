package supabase

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testToken = "sbp_0123456789abcdef0123456789abcdef01234567"
	testRef   = "abcdefghijklmnopqrst"
)

// handlerTransport answers requests from a handler in the same goroutine, so
// that tests can run on synctest's clock.
type handlerTransport struct{ handler http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	h.handler.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// roundTripper is a transport made of a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newClient(t *testing.T, transport http.RoundTripper) *Client {
	t.Helper()
	c, err := New(Config{Token: testToken, UserAgent: "test/1", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newLoggedClient also returns what the client logs at every level.
func newLoggedClient(t *testing.T, transport http.RoundTripper) (*Client, *lockedBuffer) {
	t.Helper()
	log := &lockedBuffer{}
	c, err := New(Config{
		Token: testToken, Transport: transport,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, log
}

type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// answer makes a response for a roundTripper.
func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

// limiter is a server that allows limit requests to each endpoint of each project,
// or those that together names alike, in fixed windows of a minute, which begin
// with their first request.
type limiter struct {
	limit    int
	together func(*http.Request) string
	// silent leaves out the X-RateLimit headers.
	silent bool
	next   http.Handler

	mu      sync.Mutex
	counts  map[string]int
	ends    map[string]time.Time
	refused map[string]int // By request.
	served  int
}

func newLimiter(limit int) *limiter {
	return &limiter{
		limit:  limit,
		counts: map[string]int{}, ends: map[string]time.Time{}, refused: map[string]int{},
		next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "[]")
		}),
	}
}

func (l *limiter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.admit(w, r) {
		l.next.ServeHTTP(w, r)
	}
}

// requestKey tells the requests of a test apart, so that refusals of one and
// the same can be counted.
type requestKey struct{}

func numbered(ctx context.Context, n any) context.Context {
	return context.WithValue(ctx, requestKey{}, fmt.Sprint(n))
}

func (l *limiter) admit(w http.ResponseWriter, r *http.Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, now := r.Method+" "+r.URL.Path, time.Now()
	if l.together != nil {
		key = l.together(r)
	}
	if !now.Before(l.ends[key]) {
		l.counts[key], l.ends[key] = 0, now.Add(time.Minute)
	}
	left := l.limit - l.counts[key]
	if !l.silent {
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(l.limit))
		w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(max(left-1, 0)))
		seconds := (l.ends[key].Sub(now) + time.Second - 1) / time.Second
		w.Header().Set("X-RateLimit-Reset", strconv.Itoa(int(seconds)))
	}
	if left <= 0 {
		if request, ok := r.Context().Value(requestKey{}).(string); ok {
			l.refused[request]++
		}
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"message":"ThrottlerException: Too Many Requests"}`)
		return false
	}
	l.counts[key]++
	l.served++
	return true
}

func (l *limiter) most() (most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.refused {
		most = max(most, n)
	}
	return most
}

// ref gives the project ref with number n.
func ref(n int) string {
	letters := []byte("aaaaaaaaaaaaaaaaaaaa")
	for i := len(letters) - 1; n > 0; i-- {
		letters[i] += byte(n % 26)
		n /= 26
	}
	return string(letters)
}
