package supabase

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// calls are all calls of the API, each with what it needs and what it may do.
var calls = map[string]struct {
	run func(context.Context, *Client) (result any, err error)
	// is what an error says was tried, without the project.
	is         string
	permission string
	// timeout limits one attempt: an upload and SQL take longer than a list.
	timeout time.Duration
	effect  effect
	// silent says that there is no answer to understand, zero what is returned
	// with an error.
	silent bool
	zero   string
	// optional says that nobody waits for it for long.
	optional bool
}{
	"ListFunctions": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.ListFunctions(ctx, testRef) },
		is:  "list the functions of ", permission: "edge_functions_read", timeout: 30 * time.Second, zero: "[]",
	},
	"GetFunction": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.GetFunction(ctx, testRef, "f") },
		is:  "read the properties of function f of ", permission: "edge_functions_read", timeout: 30 * time.Second, zero: fmt.Sprint(Function{}),
	},
	"FunctionSource": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.FunctionSource(ctx, testRef, "f") },
		is:  "read the source of function f of ", permission: "edge_functions_read", timeout: 2 * time.Minute, zero: fmt.Sprint(Source{}),
	},
	"DeployFunction": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.DeployFunction(ctx, testRef, sample()) },
		is:  "deploy the source of function f of ", permission: "edge_functions_write", timeout: 5 * time.Minute, effect: overwrites, zero: fmt.Sprint(Function{}),
	},
	"UpdateFunction": {
		run: func(ctx context.Context, c *Client) (any, error) {
			return c.UpdateFunction(ctx, testRef, "f", FunctionUpdate{})
		},
		is: "change the properties of function f of ", permission: "edge_functions_write", timeout: 30 * time.Second, effect: overwrites, zero: fmt.Sprint(Function{}),
	},
	"DeleteFunction": {
		run: func(ctx context.Context, c *Client) (any, error) { return nil, c.DeleteFunction(ctx, testRef, "f") },
		is:  "delete the deployment of function f of ", permission: "edge_functions_write", timeout: 30 * time.Second, effect: overwrites, silent: true,
	},
	"ListSecrets": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.ListSecrets(ctx, testRef) },
		is:  "list the secrets of ", permission: "edge_functions_secrets_read", timeout: 30 * time.Second, zero: "[]",
	},
	"SetSecrets": {
		run: func(ctx context.Context, c *Client) (any, error) {
			return nil, c.SetSecrets(ctx, testRef, map[string]string{"A": "value", "B": "other"})
		},
		is: "set the secrets A, B of ", permission: "edge_functions_secrets_write", timeout: time.Minute, effect: overwrites, silent: true,
	},
	"DeleteSecrets": {
		run: func(ctx context.Context, c *Client) (any, error) {
			return nil, c.DeleteSecrets(ctx, testRef, []string{"B", "A"})
		},
		is: "delete the secrets A, B of ", permission: "edge_functions_secrets_write", timeout: time.Minute, effect: overwrites, silent: true,
	},
	"Query": {
		run: func(ctx context.Context, c *Client) (any, error) {
			return c.Query(ctx, testRef, QueryRequest{SQL: "insert"})
		},
		is: "run SQL in the database of ", permission: "database_write", timeout: 2 * time.Minute, effect: adds, zero: "[]",
	},
	"Query, read-only": {
		run: func(ctx context.Context, c *Client) (any, error) {
			return c.Query(ctx, testRef, QueryRequest{SQL: "select", ReadOnly: true})
		},
		is: "run SQL in the database of ", permission: "database_read", timeout: 2 * time.Minute, zero: "[]",
	},
	"APIKeys": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.APIKeys(ctx, testRef) },
		is:  "list the API keys of ", permission: "api_gateway_keys_read", timeout: 30 * time.Second, zero: "[]",
	},
	"Projects": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.Projects(ctx) },
		is:  "list the projects of the account", permission: "projects_read", timeout: 30 * time.Second, zero: "[]",
	},
	"Project": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.Project(ctx, testRef) },
		is:  "read the properties of ", permission: "project_admin_read", timeout: 30 * time.Second, zero: fmt.Sprint(Project{}),
	},
	"Backups": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.Backups(ctx, testRef) },
		is:  "list the platform's backups of ", permission: "backups_read", timeout: 15 * time.Second, optional: true, zero: fmt.Sprint(Backups{}),
	},
	"SessionPooler": {
		run: func(ctx context.Context, c *Client) (any, error) { return c.SessionPooler(ctx, testRef) },
		is:  "read the pooler's settings of ", permission: "database_pooling_config_read", timeout: 30 * time.Second,
	},
}

// TestEveryCall proves of each call that its error says what was tried on what and
// which permission the token lacks, that one attempt ends when its time is over,
// and that a failure to get an answer or to understand it is an error without a
// result. After it, the outcome of a change is unknown, and of no read.
func TestEveryCall(t *testing.T) {
	t.Parallel()
	for name, call := range calls {
		unknown := func(t *testing.T, err error, want bool) {
			t.Helper()
			if errors.Is(err, ErrOutcomeUnknown) != want || strings.Contains(err.Error(), "It may have been carried out nevertheless") != want {
				t.Errorf("unknown outcome: want %t of %v", want, err)
			}
		}
		run := func(t *testing.T, transport roundTripper) error {
			t.Helper()
			result, err := call.run(t.Context(), newClient(t, transport))
			if err == nil {
				t.Fatal("no error")
			}
			if result != nil && fmt.Sprint(result) != call.zero {
				t.Errorf("the result beside the error is %v", result)
			}
			is := call.is
			if strings.HasSuffix(is, " of ") {
				is += "project " + testRef
			}
			if !strings.HasPrefix(err.Error(), is+": ") {
				t.Errorf("%q does not begin with %q", err, is)
			}
			return err
		}
		t.Run(name+"/forbidden", func(t *testing.T) {
			t.Parallel()
			err := run(t, func(r *http.Request) (*http.Response, error) { return answer(r, 403, ""), nil })
			if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), ": HTTP 403: Forbidden. Give the token the permission ") || !strings.Contains(err.Error(), call.permission) {
				t.Errorf("got %v", err)
			}
			unknown(t, err, false)
		})
		t.Run(name+"/silent", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				err := run(t, func(r *http.Request) (*http.Response, error) {
					requests++
					began := time.Now()
					<-r.Context().Done()
					if took := time.Since(began); took != call.timeout {
						t.Errorf("an attempt took %s, want %s", took, call.timeout)
					}
					return nil, r.Context().Err()
				})
				want := 1 + maxTimeouts
				if call.effect == adds || call.optional {
					want = 1
				}
				if requests != want || !strings.Contains(err.Error(), "there was no response in time") {
					t.Errorf("%d requests, want %d: %v", requests, want, err)
				}
				unknown(t, err, call.effect != reads)
			})
		})
		if !call.silent {
			t.Run(name+"/malformed", func(t *testing.T) {
				t.Parallel()
				err := run(t, func(r *http.Request) (*http.Response, error) { return answer(r, 200, "{"), nil })
				if !errors.Is(err, errUnexpectedResponse) || !strings.Contains(err.Error(), "the response does not have the documented form") {
					t.Errorf("got %v", err)
				}
				unknown(t, err, call.effect != reads)
			})
		}
	}
}

// slowBody is the body of a response that goes on for ever, a byte a second.
type slowBody struct{ ctx context.Context }

func (b slowBody) Read(p []byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(time.Second):
		return copy(p, " "), nil
	}
}

func (slowBody) Close() error { return nil }

// TestSlowBodies proves of each call that a response whose body never ends is left
// when the time of an attempt is over, as if there were no response: a success and a
// failure, and also if some of it arrives all the time.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	for name, call := range calls {
		for _, status := range []int{200, 500} {
			t.Run(fmt.Sprint(name, "/", status), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					began, requests := time.Now(), 0
					_, err := call.run(t.Context(), newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
						requests++
						response := answer(r, status, "")
						response.Body = slowBody{r.Context()}
						return response, nil
					})))
					// The pauses between the attempts are short beside them.
					if took := time.Since(began); err == nil || took > time.Duration(requests)*call.timeout+time.Minute {
						t.Errorf("%d requests in %s: %v", requests, took, err)
					}
				})
			})
		}
	}
}

// TestProbesOfRights proves that the calls which only ask for a right ask for the
// right one, ignore what says nothing about the token, and end with their context.
func TestProbesOfRights(t *testing.T) {
	t.Parallel()
	for permission, probe := range map[string]func(context.Context, *Client) error{
		"edge_functions_write":         func(ctx context.Context, c *Client) error { return c.MayWriteFunctions(ctx, testRef) },
		"edge_functions_secrets_write": func(ctx context.Context, c *Client) error { return c.MayWriteSecrets(ctx, testRef) },
	} {
		for status, want := range map[int]error{200: nil, 400: nil, 404: nil, 501: nil, 401: ErrUnauthorized, 403: ErrForbidden} {
			err := probe(t.Context(), newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) { return answer(r, status, ""), nil })))
			if !errors.Is(err, want) || (err == nil) != (want == nil) || status == 403 && !strings.Contains(err.Error(), permission) {
				t.Errorf("%s, HTTP %d: %v", permission, status, err)
			}
		}
		gone := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			return answer(r, 404, `{"message":"Project not found"}`), nil
		}))
		if err := probe(t.Context(), gone); !errors.Is(err, ErrProjectGone) {
			t.Errorf("%s, a project that is gone: %v", permission, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := newClient(t, roundTripper(func(*http.Request) (*http.Response, error) {
			cancel()
			return nil, io.ErrUnexpectedEOF
		}))
		if err := probe(ctx, ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, interrupted: %v", permission, err)
		}
	}
}

// TestTimeIsOver proves what is said when the context ends: whether it was
// interrupted or its time was over, and what the last attempt failed with, if one
// did. No attempt follows.
func TestTimeIsOver(t *testing.T) {
	t.Parallel()
	canceled := func(t *testing.T) (context.Context, func()) { return context.WithCancel(t.Context()) }
	for name, c := range map[string]struct {
		context func(t *testing.T) (context.Context, func())
		// respond ends the context by end, or waits for it.
		respond func(r *http.Request, end func()) (*http.Response, error)
		want    string
		cause   error
	}{
		"interrupted": {canceled, func(r *http.Request, end func()) (*http.Response, error) {
			end()
			return nil, r.Context().Err()
		}, "it was interrupted", context.Canceled},
		"interrupted after a failure": {canceled, func(r *http.Request, end func()) (*http.Response, error) {
			end()
			return answer(r, 503, `{"message":"down"}`), nil
		}, "it was interrupted; the last attempt failed with: HTTP 503: down", context.Canceled},
		"out of time": {func(t *testing.T) (context.Context, func()) { return context.WithTimeout(t.Context(), time.Second) },
			func(r *http.Request, _ func()) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}, "the time was over", context.DeadlineExceeded},
		// The pause before the second attempt is at least half a second.
		"out of time after a failure": {func(t *testing.T) (context.Context, func()) {
			return context.WithTimeout(t.Context(), 400*time.Millisecond)
		}, func(*http.Request, func()) (*http.Response, error) {
			return nil, errors.New("connection reset")
		}, "the time was over; the last attempt failed with: connection reset", context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, end := c.context(t)
				defer end()
				requests := 0
				_, err := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
					requests++
					return c.respond(r, end)
				})).ListSecrets(ctx, testRef)
				if want := "list the secrets of project " + testRef + ": " + c.want; err == nil || err.Error() != want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
				if requests != 1 || !errors.Is(err, c.cause) {
					t.Errorf("%d requests, %v", requests, err)
				}
			})
		})
	}
}

// TestSilenceIsLogged proves that the log says after ten seconds, and every ten
// seconds from then on, that the API has not responded; that the attempt goes on
// meanwhile; and that nothing is said of one that has ended.
func TestSilenceIsLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, log := newLoggedClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(25 * time.Second)
			return answer(r, 200, "[]"), nil
		}))
		began := time.Now()
		ended := make(chan error)
		go func() {
			_, err := c.ListSecrets(t.Context(), testRef)
			ended <- err
		}()
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		if got := log.String(); got != "" {
			t.Errorf("before ten seconds, the log says %s", got)
		}
		if err := <-ended; err != nil || time.Since(began) != 25*time.Second {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for text, want := range map[string]int{
			`level=WARN msg="the Management API does not respond; still waiting" endpoint="GET /secrets" ref=` + testRef: 2,
			"attempt=1 for=10s\n": 1, "attempt=1 for=20s\n": 1,
		} {
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("the log says %d times, not %d, %q:\n%s", got, want, text, log.String())
			}
		}
	})
}

// TestLog proves the whole log of a call that needs three attempts: each attempt
// with its outcome, each repetition with its reason.
func TestLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c, log := newLoggedClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			switch requests++; requests {
			case 1:
				return answer(r, 503, `{"message":"down"}`), nil
			case 2:
				time.Sleep(time.Second)
				return nil, errors.New("connection reset")
			}
			return answer(r, 200, "[]"), nil
		}))
		if _, err := c.ListSecrets(t.Context(), testRef); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(log.String()) {
			_, line, _ = strings.Cut(strings.TrimSpace(line), "level=")
			line, _, _ = strings.Cut(line, " in=") // which is partly random
			got = append(got, strings.Replace(line, ` endpoint="GET /secrets" ref=`+testRef, "", 1))
		}
		want := []string{
			`DEBUG msg="management API request" attempt=1 took=0s status=503`,
			`INFO msg="repeating a request to the Management API" because="HTTP 503: down"`,
			`DEBUG msg="management API request" attempt=2 took=1s error="connection reset"`,
			`INFO msg="repeating a request to the Management API" because="connection reset"`,
			`DEBUG msg="management API request" attempt=3 took=0s status=200`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the log says\n%s", strings.Join(got, "\n"))
		}
	})
}

// TestWaitsAreSpread proves that a failed attempt is repeated after half a second and
// a little, also when there was no answer, that the little differs, so that ten
// resources do not come back at the same moment, and that no server can ask for
// more than a minute.
func TestWaitsAreSpread(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail        func(r *http.Request) (*http.Response, error)
		least, most time.Duration
	}{
		"an answer": {func(r *http.Request) (*http.Response, error) { return answer(r, 503, ""), nil }, 500 * time.Millisecond, 625 * time.Millisecond},
		"no answer": {func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, 500 * time.Millisecond, 625 * time.Millisecond},
		"too long a pause": {func(r *http.Request) (*http.Response, error) {
			response := answer(r, 503, "")
			response.Header.Set("Retry-After", "600")
			return response, nil
		}, time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				waits := map[time.Duration]bool{}
				for range 10 {
					requests, failed := 0, time.Now()
					_, err := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
						if requests++; requests == 1 {
							return c.fail(r)
						}
						return answer(r, 200, "[]"), nil
					})).ListSecrets(t.Context(), testRef)
					wait := time.Since(failed)
					if err != nil || wait < c.least || wait > c.most {
						t.Errorf("repeated after %s: %v", wait, err)
					}
					waits[wait] = true
				}
				if len(waits) < 2 && c.least != c.most {
					t.Errorf("ten attempts are repeated after the same time: %v", waits)
				}
			})
		})
	}
}

// TestErrorText proves the whole text of an error with each of its parts.
func TestErrorText(t *testing.T) {
	t.Parallel()
	const begin = "read of x: "
	for want, e := range map[string]Error{
		"lost":                         {Message: "lost"},
		"HTTP 400":                     {Status: 400},
		"HTTP 400: no":                 {Status: 400, Message: "no"},
		"SQL error 42P01":              {Status: 400, SQLState: "42P01"},
		"SQL error 42P01: no":          {Status: 400, SQLState: "42P01", Message: "no"},
		"no. Detail: why. Hint: do it": {Message: "no", Detail: "why", Hint: "do it"},
		"no! Run again.":               {Message: "no!", Advice: "Run again."},
		"no. Tried 2 times. Event abc": {Message: "no.", Attempts: 2, EventID: "abc"},
		"no. It may have been carried out nevertheless. Run again.": {Message: "no", Attempts: 1, kinds: []error{ErrOutcomeUnknown}, Advice: "Run again."},
	} {
		e.Op, e.Resource = "read", "x"
		if got := e.Error(); got != begin+want {
			t.Errorf("got %q, want %q", got, begin+want)
		}
	}
}

// TestUnsent proves which failures mean that a request was not sent, so that a
// change can be sent again and its outcome is known, and which of them would only
// come again.
func TestUnsent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err               error
		unsent, permanent bool
	}{
		"not connected":       {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true, false},
		"not by the proxy":    {&net.OpError{Op: "proxyconnect", Err: errors.New("no")}, true, false},
		"cut while reading":   {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, false, false},
		"cut while writing":   {&net.OpError{Op: "write", Err: syscall.EPIPE}, false, false},
		"cut":                 {io.ErrUnexpectedEOF, false, false},
		"no such host":        {&net.DNSError{IsNotFound: true}, true, true},
		"no name server":      {&net.DNSError{IsTimeout: true}, true, false},
		"another host":        {x509.HostnameError{Certificate: &x509.Certificate{}}, true, true},
		"an unknown issuer":   {&url.Error{Err: x509.UnknownAuthorityError{}}, true, true},
		"an old certificate":  {x509.CertificateInvalidError{Cert: &x509.Certificate{}}, true, true},
		"not verified":        {&tls.CertificateVerificationError{Err: errors.New("no")}, true, true},
		"no TLS":              {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, true, true},
		"too large an answer": {fmt.Errorf("%w: more than 4 MiB", errTooLarge), false, true},
	} {
		if unsent(c.err) != c.unsent || permanent(c.err) != c.permanent {
			t.Errorf("%s: unsent %t, permanent %t", name, unsent(c.err), permanent(c.err))
		}
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			client := newClient(t, roundTripper(func(*http.Request) (*http.Response, error) {
				requests++
				return nil, c.err
			}))
			// It ends during the pause before the second attempt.
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := client.Query(ctx, testRef, QueryRequest{SQL: "insert"})
			if requests != 1 || errors.Is(err, ErrOutcomeUnknown) == c.unsent {
				t.Errorf("%s: %d requests, %v", name, requests, err)
			}
			if advised := strings.Contains(err.Error(), "The connection is not secure. Check `api_url`"); advised != distrusted(c.err) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// TestNoConnectionIsKept proves that a client keeps enough connections for a run,
// and that none outlives it by long: a provider that serves several runs would
// otherwise keep those of each.
func TestNoConnectionIsKept(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	transport, ok := c.transport.(*http.Transport)
	if !ok || transport.IdleConnTimeout <= 0 || transport.IdleConnTimeout > 15*time.Second || transport.MaxIdleConnsPerHost < 30 {
		t.Errorf("the transport is %+v", c.transport)
	}
}

// TestOnlySQLIsReadAsSQL proves that the message of a failure is taken apart as an
// error of PostgreSQL where SQL was run and nowhere else, and that such an error
// says nothing about the token or the project.
func TestOnlySQLIsReadAsSQL(t *testing.T) {
	t.Parallel()
	for status, body := range map[int]string{
		400: `{"message":"ERROR:  P0001: project x not found"}`,
		403: `{"message":"ERROR:  42501: permission denied"}`,
	} {
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) { return answer(r, status, body), nil }))
		var failure *Error
		if _, err := c.Query(t.Context(), testRef, QueryRequest{}); !errors.As(err, &failure) || failure.SQLState == "" || failure.Advice != "" || len(failure.kinds) > 0 {
			t.Errorf("SQL, HTTP %d: %+v", status, failure)
		}
		if _, err := c.ListSecrets(t.Context(), testRef); !errors.As(err, &failure) || failure.SQLState != "" || failure.Advice == "" || !strings.HasPrefix(failure.Message, "ERROR: ") {
			t.Errorf("no SQL, HTTP %d: %+v", status, failure)
		}
	}
	empty := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) { return answer(r, 201, " \n"), nil }))
	if rows, err := empty.Query(t.Context(), testRef, QueryRequest{}); err != nil || string(rows) != "[]" {
		t.Errorf("an empty answer is %q, %v", rows, err)
	}
}
