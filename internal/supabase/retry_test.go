package supabase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// operations are a call of each effect.
var operations = map[string]struct {
	success string
	run     func(context.Context, *Client) error
}{
	"read": {"[]", func(ctx context.Context, c *Client) error {
		_, err := c.ListSecrets(ctx, testRef)
		return err
	}},
	"read by POST": {"[]", func(ctx context.Context, c *Client) error {
		_, err := c.Query(ctx, testRef, QueryRequest{SQL: "select 1", ReadOnly: true})
		return err
	}},
	"overwrite": {"", func(ctx context.Context, c *Client) error {
		return c.SetSecrets(ctx, testRef, map[string]string{"A": "value"})
	}},
	"add": {"[]", func(ctx context.Context, c *Client) error {
		_, err := c.Query(ctx, testRef, QueryRequest{SQL: "insert into t default values"})
		return err
	}},
}

// Failures that pass are repeated where that does no harm, those that stay are
// not, none is repeated for ever, and a write that may have been carried out is
// reported as such. The table says how many requests each failure is worth.
func TestRepeatedFailures(t *testing.T) {
	t.Parallel()
	const many = maxFailures
	for _, test := range []struct {
		failure         string
		status          int
		body            string
		read, over, add int
		// unknown: after this failure nobody knows whether a write was done.
		unknown bool
	}{
		{"request timeout", 408, `{"message":"Query read timeout"}`, many, many, 1, true},
		{"internal error", 500, `{"message":"Internal Server Error","errorEventId":"0123"}`, many, many, 1, true},
		{"not implemented", 501, ``, 1, 1, 1, true},
		{"bad gateway", 502, `error code: 502`, many, many, 1, true},
		{"unavailable", 503, `{"message":"down"}`, many, many, 1, true},
		{"database full", 503, `{"message":"sorry, too many clients already"}`, many, many, many, false},
		{"gateway timeout", 504, ``, many, many, 1, true},
		{"origin unreachable", 522, `<html><title>522: Connection timed out</title></html>`, many, many, 1, true},
		{"upstream failure", 544, `{"message":"Connection terminated due to connection timeout"}`, 1, 1, 1, true},
		{"bad request", 400, `{"message":"no"}`, 1, 1, 1, false},
		{"unauthorized", 401, `{"message":"JWT could not be decoded"}`, 1, 1, 1, false},
		{"forbidden", 403, `{"message":"Forbidden"}`, 1, 1, 1, false},
		{"redirect", 302, ``, 1, 1, 1, false},
	} {
		for name, operation := range operations {
			want := map[string]int{"read": test.read, "read by POST": test.read, "overwrite": test.over, "add": test.add}[name]
			t.Run(test.failure+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					requests := 0
					c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
						requests++
						return answer(r, test.status, test.body), nil
					}))
					err := operation.run(t.Context(), c)
					var failure *Error
					if !errors.As(err, &failure) || failure.Status != test.status {
						t.Fatalf("got %v", err)
					}
					if requests != want || failure.Attempts != want {
						t.Errorf("%d requests, %d according to the error, want %d", requests, failure.Attempts, want)
					}
					unknown := test.unknown && !strings.HasPrefix(name, "read")
					if errors.Is(err, ErrOutcomeUnknown) != unknown || failure.OutcomeUnknown() != unknown {
						t.Errorf("unknown outcome: want %t of %v", unknown, err)
					}
				})
			})
		}
	}
}

// One passing failure of any kind costs a read nothing but time.
func TestReadSurvivesPassingFailures(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*http.Request) (*http.Response, error){
		"reset": func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"no route": func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
		},
		"gateway":     func(r *http.Request) (*http.Response, error) { return answer(r, 502, "error code: 502"), nil },
		"retry after": func(r *http.Request) (*http.Response, error) { return answer(r, 503, ""), nil },
		"silence": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"broken off": func(r *http.Request) (*http.Response, error) {
			response := answer(r, 200, "")
			response.Body = io.NopCloser(io.MultiReader(strings.NewReader(`[{"name":"A`), brokenReader{}))
			return response, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
					if requests++; requests == 1 {
						return fail(r)
					}
					return answer(r, 200, `[{"name":"A","value":"x"}]`), nil
				}))
				secrets, err := c.ListSecrets(t.Context(), testRef)
				if err != nil || len(secrets) != 1 || requests != 2 {
					t.Errorf("got %v, %v after %d requests", secrets, err, requests)
				}
			})
		})
	}
}

// An outage of 15 seconds, whatever the answers during it, costs a request that may be
// repeated nothing but time; one of a minute is reported within half of that.
func TestOutageIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, status := range []int{408, 500, 502, 503, 504, 520, 522, 530} {
		for name, operation := range operations {
			if name == "add" {
				continue
			}
			for outage, passes := range map[time.Duration]bool{3 * time.Second: true, 15 * time.Second: true, time.Minute: false} {
				t.Run(fmt.Sprintf("%d/%s/%s", status, name, outage), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						begin := time.Now()
						c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
							if time.Since(begin) < outage {
								return answer(r, status, `{"message":"out of order"}`), nil
							}
							return answer(r, 200, operation.success), nil
						}))
						err := operation.run(t.Context(), c)
						if (err == nil) != passes {
							t.Errorf("passed: %t, want %t: %v", err == nil, passes, err)
						}
						if took := time.Since(begin); took > 30*time.Second {
							t.Errorf("it took %s", took)
						}
					})
				})
			}
		}
	}
}

// SQL that a restart of the database, or its lack of connections, kept from being run is
// repeated, and a change only if it cannot have been made. The service behind the API
// reports these failures with the status of an error in the SQL.
func TestDatabaseTrouble(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		message   string
		read, add int
		unknown   bool // whether the change may have been made
	}{
		{"Connection terminated unexpectedly", maxFailures, 1, true},
		{"read ECONNRESET", maxFailures, 1, true},
		{"FATAL:  57P01: terminating connection due to administrator command\n", maxFailures, 1, true},
		{"FATAL:  57P03: the database system is starting up\n", maxFailures, maxFailures, false},
		{"FATAL:  53300: remaining connection slots are reserved for roles with the SUPERUSER attribute\n", maxFailures, maxFailures, false},
		{"connect ECONNREFUSED 10.0.0.1:5432", maxFailures, maxFailures, false},
		{"getaddrinfo EAI_AGAIN db", maxFailures, maxFailures, false},
		{"Query result size (3 bytes) exceeded the configured limit (2 bytes)", 1, 1, true},
		{"ERROR:  42P01: relation \"x\" does not exist\n", 1, 1, false},
		{"ERROR:  57014: canceling statement due to statement timeout\n", 1, 1, false},
		{"FATAL:  28P01: password authentication failed for user \"postgres\"\n", 1, 1, false},
	} {
		for name, want := range map[string]int{"read by POST": test.read, "add": test.add} {
			t.Run(test.message[:12]+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					body, err := json.Marshal(map[string]string{"message": "Failed to run sql query: " + test.message})
					if err != nil {
						t.Fatal(err)
					}
					requests := 0
					c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
						requests++
						return answer(r, 400, string(body)), nil
					}))
					err = operations[name].run(t.Context(), c)
					if err == nil || requests != want {
						t.Errorf("%d requests, want %d: %v", requests, want, err)
					}
					if unknown := test.unknown && name == "add"; errors.Is(err, ErrOutcomeUnknown) != unknown {
						t.Errorf("unknown outcome: want %t of %v", unknown, err)
					}
				})
			})
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A server that never answers is given up, and so is one that cannot be
// reached; a write that cannot have arrived is repeated and not reported as
// unknown.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err       error
		attempts  map[string]int
		unknown   bool
		contains  string
		forbidden string
	}{
		"refused": {
			&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")},
			map[string]int{"read": 6, "overwrite": 6, "add": 6}, false, "connection refused", "",
		},
		"unknown host": {
			&net.DNSError{Err: "no such host", Name: "api.supabase.com", IsNotFound: true},
			map[string]int{"read": 1, "overwrite": 1, "add": 1}, false, "no such host", "",
		},
		"cut": {
			errors.New("read: connection reset by peer"),
			map[string]int{"read": 6, "overwrite": 6, "add": 1}, true, "connection reset", "",
		},
		"silent": {
			nil,
			map[string]int{"read": 3, "overwrite": 3, "add": 1}, true, "no response in time", "",
		},
	} {
		for operation, want := range test.attempts {
			t.Run(name+"/"+operation, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					requests := 0
					c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
						requests++
						if test.err == nil {
							<-r.Context().Done()
							return nil, r.Context().Err()
						}
						return nil, test.err
					}))
					err := operations[operation].run(t.Context(), c)
					if err == nil || !strings.Contains(err.Error(), test.contains) || requests != want {
						t.Errorf("%d requests, want %d; error %v", requests, want, err)
					}
					if errors.Is(err, ErrOutcomeUnknown) != (test.unknown && operation != "read") {
						t.Errorf("unknown outcome is wrong in %v", err)
					}
				})
			})
		}
	}
}

// When the context ends while a write is under way, its outcome is unknown and
// the error says both.
func TestInterruptedWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := operations["add"].run(ctx, c)
		if !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// An answer that came before the context ended counts: a write that was
// confirmed is not reported as interrupted.
func TestAnswerAtTheLastMoment(t *testing.T) {
	t.Parallel()
	for name, operation := range operations {
		for status, want := range map[int]bool{201: true, 400: false} {
			ctx, cancel := context.WithCancel(t.Context())
			c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
				cancel()
				return answer(r, status, operation.success), nil
			}))
			err := operation.run(ctx, c)
			if (err == nil) != want || errors.Is(err, context.Canceled) {
				t.Errorf("%s, HTTP %d: got %v", name, status, err)
			}
		}
	}
}

// A function whose removal lost its answer is not there at the second attempt:
// that is success. A function that was not there from the start is ErrNotFound.
func TestDeleteFunctionWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	for lost, want := range map[bool]error{true: nil, false: ErrNotFound} {
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
				if requests++; lost && requests == 1 {
					return nil, io.ErrUnexpectedEOF
				}
				return answer(r, 404, `{"message":"Function not found"}`), nil
			}))
			if err := c.DeleteFunction(t.Context(), testRef, "f"); !errors.Is(err, want) {
				t.Errorf("answer lost: %t; got %v", lost, err)
			}
		})
	}
}

// Waits between attempts grow from half a second and honour Retry-After.
func TestWaitsBetweenAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			response := answer(r, 503, "")
			if len(at) == 2 {
				response.Header.Set("Retry-After", "20")
			}
			return response, nil
		}))
		_ = operations["read"].run(t.Context(), c)
		for i, want := range []time.Duration{500 * time.Millisecond, 20 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			if wait := at[i+1].Sub(at[i]); wait < want || wait > want+want/4 {
				t.Errorf("wait %d took %s, want %s and a little", i+1, wait, want)
			}
		}
	})
}

// Redirects are not followed: the token must not go anywhere else.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	c, err := New(Config{BaseURL: server.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.ListSecrets(t.Context(), testRef)
	if !errors.Is(err, errUnexpectedResponse) || followed.Load() {
		t.Errorf("followed: %t; error %v", followed.Load(), err)
	}
}

// Connections that a server closes do not count as failures over real sockets either: a
// read succeeds on the next one, and a write is reported.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1)%2 == 1 {
			connection, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_ = connection.Close()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "[]")
	}))
	defer server.Close()
	c, err := New(Config{BaseURL: server.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := operations["read"].run(t.Context(), c); err != nil {
		t.Errorf("read: %v", err)
	}
	if err := operations["add"].run(t.Context(), c); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("write: %v", err)
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

// The client leaves no goroutine behind once closed.
func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	c, err := New(Config{BaseURL: server.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ListSecrets(t.Context(), testRef); err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case <-closed:
	case <-time.After(2 * time.Minute):
		t.Error("the connection is still open")
	}
}
