package supabase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// eachOf runs work for 0 to n-1 with so many at a time.
func eachOf(n, parallel int, work func(int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range parallel {
		group.Go(func() {
			for i := range next {
				work(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// slow delays each request and each answer by up to most.
func slow(most time.Duration, next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		time.Sleep(rand.N(most))
		response, err := next.RoundTrip(r)
		time.Sleep(rand.N(most))
		return response, err
	})
}

// A full window is waited for, not run into: with ten calls at a time, 500 calls
// to an endpoint that allows 120 a minute all succeed without one refusal, and
// take no longer than the limit demands.
func TestPacerStaysBelowTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newLimiter(120)
		c := newClient(t, slow(200*time.Millisecond, handlerTransport{server}))
		start := time.Now()
		eachOf(500, 10, func(i int) {
			if _, err := c.ListSecrets(numbered(t.Context(), i), testRef); err != nil {
				t.Error(err)
			}
		})
		if most := server.most(); most != 0 {
			t.Errorf("a request was refused %d times", most)
		}
		if took := time.Since(start); took < 4*time.Minute || took > 4*time.Minute+30*time.Second {
			t.Errorf("took %s, want little more than 4m0s", took)
		}
	})
}

// A burst before anything is known about the limit is refused in part; each
// refused request waits for the next windows and is refused only once.
func TestPacerBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newLimiter(120)
		c := newClient(t, slow(500*time.Millisecond, handlerTransport{server}))
		eachOf(400, 400, func(i int) {
			if _, err := c.ListSecrets(numbered(t.Context(), i), testRef); err != nil {
				t.Error(err)
			}
		})
		if most := server.most(); most != 1 {
			t.Errorf("a request was refused %d times, want 1", most)
		}
	})
}

// Requests of one project do not wait because another project's, or another
// endpoint's, are used up.
func TestPacerCountsApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newLimiter(120)
		c := newClient(t, handlerTransport{server})
		for range 120 {
			if _, err := c.ListSecrets(t.Context(), testRef); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if _, err := c.ListSecrets(t.Context(), ref(1)); err != nil {
			t.Error(err)
		}
		if _, err := c.ListFunctions(t.Context(), testRef); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %s for somebody else's limit", took)
		}
	})
}

// If the server counts all requests of an account together, or those to an endpoint
// over all projects, which the client cannot know beforehand, no request is refused
// more than once either, whether many are sent at once or a few at a time.
func TestPacerLearnsWhatCountsTogether(t *testing.T) {
	t.Parallel()
	for name, together := range map[string]func(*http.Request) string{
		"all": func(*http.Request) string { return "" },
		"an endpoint over all projects": func(r *http.Request) string {
			return r.Method + " " + path.Base(r.URL.Path)
		},
	} {
		for _, parallel := range []int{10, 300} {
			t.Run(fmt.Sprintf("%s, %d at a time", name, parallel), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					server := newLimiter(20)
					server.together = together
					c := newClient(t, slow(300*time.Millisecond, handlerTransport{server}))
					eachOf(300, parallel, func(i int) {
						ctx := numbered(t.Context(), i)
						var err error
						switch project := ref(i / 3); i % 3 {
						case 0:
							_, err = c.ListSecrets(ctx, project)
						case 1:
							_, err = c.ListFunctions(ctx, project)
						case 2:
							_, err = c.Query(ctx, project, QueryRequest{SQL: "select 1", ReadOnly: true})
						}
						if err != nil {
							t.Error(err)
						}
					})
					if most := server.most(); most > 1 {
						t.Errorf("a request was refused %d times", most)
					}
				})
			})
		}
	}
}

// When another program uses up the limits of two projects, all requests may
// count together for all the client knows. Answers with numbers of their own
// show that they do not, and nobody waits for those two any longer.
func TestPacerNoticesThatRequestsCountApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newLimiter(120)
		c := newClient(t, handlerTransport{server})
		exhaust := func(project string) {
			server.counts["GET /v1/projects/"+project+"/secrets"] = 120
			server.ends["GET /v1/projects/"+project+"/secrets"] = time.Now().Add(time.Minute)
		}
		exhaust(ref(1))
		exhaust(ref(2))
		eachOf(2, 2, func(i int) {
			if _, err := c.ListSecrets(t.Context(), ref(1+i)); err != nil {
				t.Error(err)
			}
		})
		for i := range 3 {
			if _, err := c.ListSecrets(t.Context(), ref(10+i)); err != nil {
				t.Error(err)
			}
		}
		exhaust(ref(3))
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := c.ListSecrets(t.Context(), ref(3)); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		start := time.Now()
		if _, err := c.ListSecrets(t.Context(), ref(20)); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %s for another project", took)
		}
		group.Wait()
	})
}

// After a refusal the client keeps away as long as the server asks: by
// Retry-After in either form, else until the window ends, else for a time that
// grows.
func TestRefusalIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header           func() http.Header
		atLeast, noMore  time.Duration
		refusals, effect int
	}{
		"seconds": {
			header:  func() http.Header { return http.Header{"Retry-After": {"42"}, "X-Ratelimit-Reset": {"7"}} },
			atLeast: 42 * time.Second, noMore: 44 * time.Second, refusals: 1,
		},
		"far too long": {
			header:  func() http.Header { return http.Header{"Retry-After": {"10000000000"}} },
			atLeast: time.Hour, noMore: time.Hour + 2*time.Second, refusals: 1,
		},
		"date": {
			header: func() http.Header {
				return http.Header{"Retry-After": {time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)}}
			},
			atLeast: 30 * time.Second, noMore: 32 * time.Second, refusals: 1,
		},
		"window": {
			header: func() http.Header {
				return http.Header{"X-Ratelimit-Limit": {"120"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"59"}}
			},
			atLeast: 59 * time.Second, noMore: 61 * time.Second, refusals: 1,
		},
		"nothing": {
			header:  func() http.Header { return http.Header{} },
			atLeast: 7 * time.Second, noMore: 11 * time.Second, refusals: 3,
		},
		"nonsense": {
			header:  func() http.Header { return http.Header{"Retry-After": {"-5"}, "X-Ratelimit-Reset": {"soon"}} },
			atLeast: time.Second, noMore: 2 * time.Second, refusals: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				refusals := 0
				c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
					if refusals < test.refusals {
						refusals++
						response := answer(r, 429, `{"message":"ThrottlerException: Too Many Requests"}`)
						response.Header = test.header()
						return response, nil
					}
					return answer(r, 200, "[]"), nil
				}))
				start := time.Now()
				if _, err := c.ListSecrets(t.Context(), testRef); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < test.atLeast || took > test.noMore {
					t.Errorf("came back after %s, want %s to %s", took, test.atLeast, test.noMore)
				}
			})
		})
	}
}

// A write that was refused because of the limit was not carried out, so it is
// sent again even if it must not be repeated otherwise.
func TestRefusedWriteIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			requests++
			body, _ := io.ReadAll(r.Body)
			if !strings.Contains(string(body), "insert") {
				t.Errorf("request %d has the body %q", requests, body)
			}
			if requests == 1 {
				return answer(r, 429, ""), nil
			}
			return answer(r, 201, `[{"a":1}]`), nil
		}))
		rows, err := c.Query(t.Context(), testRef, QueryRequest{SQL: "insert into t values (1) returning a"})
		if err != nil || string(rows) != `[{"a":1}]` || requests != 2 {
			t.Errorf("got %s, %v after %d requests", rows, err, requests)
		}
	})
}

// A server that refuses for ever does not hold a call for ever.
func TestEndlessRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			return answer(r, 429, `{"message":"ThrottlerException: Too Many Requests"}`), nil
		}))
		_, err := c.ListSecrets(t.Context(), testRef)
		if !errors.Is(err, ErrRateLimited) {
			t.Errorf("got %v", err)
		}
	})
}

// A wait ends with the context: at once when it is cancelled, and before it
// begins when the deadline is sooner than the end of the window. The error
// says why and keeps the context's own error.
func TestWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	exhausted := roundTripper(func(r *http.Request) (*http.Response, error) {
		response := answer(r, 429, "")
		response.Header = http.Header{"X-Ratelimit-Limit": {"120"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"50"}}
		return response, nil
	})
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, exhausted)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			start := time.Now()
			_, err := c.ListSecrets(ctx, testRef)
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrRateLimited) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("failed after %s, though it was plain from the start", took)
			}
		})
	})
	t.Run("interrupt", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, exhausted)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(5*time.Second, cancel)
			start := time.Now()
			_, err := c.ListSecrets(ctx, testRef)
			if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrRateLimited) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took != 5*time.Second {
				t.Errorf("ended after %s, want 5s", took)
			}
		})
	})
	t.Run("between attempts", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
				return answer(r, 503, `{"message":"down for maintenance"}`), nil
			}))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			start := time.Now()
			_, err := c.ListSecrets(ctx, testRef)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "down for maintenance") {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took != 2*time.Second {
				t.Errorf("ended after %s, want 2s", took)
			}
		})
	})
}

// Progress is said in the log: one line for a wait, however many requests wait.
func TestWaitIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newLimiter(5)
		c, log := newLoggedClient(t, handlerTransport{server})
		eachOf(10, 10, func(int) {
			if _, err := c.ListSecrets(t.Context(), testRef); err != nil {
				t.Error(err)
			}
		})
		if n := strings.Count(log.String(), "level=INFO msg=\"waiting for the rate limit"); n != 1 {
			t.Errorf("the wait is logged %d times:\n%s", n, log)
		}
		if strings.Contains(log.String(), testToken) {
			t.Error("the token is in the log")
		}
	})
}
