package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// chain is a database whose answers to the queries of a verification a test
// decides. What a real one answers is tested on the stack.
type chain struct {
	postgres.DB // a method that no test expects is nil and so breaks it

	// started are the answers to a request for a run, one after the other.
	started []string
	// states has, for each run, the answers to the question how far it is. The
	// last one stays.
	states map[string][]string
	// response is what is known of a request so long after the first question;
	// nil is a probe that succeeds at once.
	response func(access postgres.Access, age time.Duration) string
	asked    time.Time
	// ways are, in the place of response, the answers to probes that show the
	// project's keys in one way after the other; refused is how many were.
	ways    []string
	refused int

	// log is what was asked.
	log []string
}

// probeRequest is a request to the function, as auto_backup.probe returns it.
const probeRequest = `{"id":42,"run_id":"5d1f7e80-3c7b-4ac1-8f6c-2f6de0b9e1c4","posted_at":"2026-11-26T12:00:00Z"}`

func (c *chain) Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if args[0] != "nightly" {
		return nil, fmt.Errorf("it asks about %v", args)
	}
	switch sql {
	case queries.Probe, queries.OffsiteProbe:
		asked := "probe"
		if sql == queries.OffsiteProbe {
			asked = fmt.Sprintf("probe of %v", args[2])
		}
		c.log = append(c.log, asked)
		c.refused, _ = strconv.Atoi(args[1].(string))
		if c.ways != nil && c.refused >= len(c.ways) {
			return json.RawMessage(`{"id":null,"run_id":"5d1f7e80-3c7b-4ac1-8f6c-2f6de0b9e1c4"}`), nil
		}
		return json.RawMessage(probeRequest), nil
	case queries.Response:
		if args[1] != probeRequest && args[1] != `{"id":42}` {
			return nil, fmt.Errorf("it asks about request %v", args)
		}
		if c.asked.IsZero() {
			c.asked = time.Now()
		}
		if c.ways != nil {
			return json.RawMessage(c.ways[c.refused]), nil
		}
		if c.response == nil {
			return json.RawMessage(`{"answer": {"status": 200, "content": "{\"success\": true}", "ours": true, "signed": true}}`), nil
		}
		return json.RawMessage(c.response(access, time.Since(c.asked))), nil
	case queries.Run:
		if access != postgres.ReadWrite || len(c.started) == 0 {
			return nil, errors.New("no run can be started")
		}
		answer := c.started[0]
		c.started = c.started[1:]
		c.log = append(c.log, "run")
		return json.RawMessage(answer), nil
	case queries.RunState:
		run := args[1].(string)
		answers := c.states[run]
		if len(answers) == 0 {
			return nil, fmt.Errorf("nothing is known of run %s", run)
		}
		if len(answers) > 1 {
			c.states[run] = answers[1:]
		}
		c.log = append(c.log, "state of "+run)
		if answers[0] == "" {
			return nil, nil
		}
		return json.RawMessage(answers[0]), nil
	}
	return nil, errors.New("it asks something else")
}

func (c *chain) service() *Service { return NewService("abcdefghijklmnopqrst", nil, c) }

var nightly = backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: "nightly"}

// TestVerifyMakesItsOwnBackup proves that a verification by a whole backup waits
// for a run that began before, whatever comes of it, and then judges by one that
// began after it; that one by a probe makes no backup; and that none is made
// when the probe fails.
func TestVerifyMakesItsOwnBackup(t *testing.T) {
	t.Parallel()
	const (
		joined    = `{"run_id": "1", "state": "running", "joined": true}`
		again     = `{"run_id": "2", "state": "requested", "joined": true}`
		own       = `{"run_id": "3", "state": "requested", "joined": false}`
		running   = `{"run_id": "1", "state": "running"}`
		succeeded = `{"run_id": "1", "state": "succeeded"}`
		failed    = `{"run_id": "1", "state": "failed", "code": "rpc_timeout", "error": "no answer"}`
	)
	for name, c := range map[string]struct {
		wholeBackup bool
		chain       chain
		says        string
		log         string
	}{
		"a probe": {
			log: "probe",
		},
		"a probe that fails": {
			wholeBackup: true,
			chain: chain{started: []string{own}, response: func(postgres.Access, time.Duration) string {
				return `{"answer": {"status": 404}}`
			}},
			says: codes.Lookup("http_404", "").Clause(), log: "probe",
		},
		"a run of its own": {
			wholeBackup: true,
			chain:       chain{started: []string{own}, states: map[string][]string{"3": {"", succeeded}}},
			log:         "probe, run, state of 3, state of 3",
		},
		"a run of its own that fails": {
			wholeBackup: true,
			chain:       chain{started: []string{own}, states: map[string][]string{"3": {failed}}},
			says:        "run 1 failed with rpc_timeout", log: "probe, run, state of 3",
		},
		"others succeed before it": {
			wholeBackup: true,
			chain: chain{started: []string{joined, again, own}, states: map[string][]string{
				"1": {running, succeeded}, "2": {succeeded}, "3": {succeeded},
			}},
			log: "probe, run, state of 1, state of 1, run, state of 2, run, state of 3",
		},
		"another fails before it": {
			wholeBackup: true,
			chain:       chain{started: []string{joined, own}, states: map[string][]string{"1": {failed}, "3": {succeeded}}},
			log:         "probe, run, state of 1, run, state of 3",
		},
		"another cannot be followed": {
			wholeBackup: true,
			chain:       chain{started: []string{joined, own}},
			says:        "wait for run 1, which is running: nothing is known of run 1", log: "probe, run",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				err := c.chain.service().Verify(t.Context(), nightly, c.wholeBackup)
				if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				if got := strings.Join(c.chain.log, ", "); got != c.log {
					t.Errorf("it asked %s\nwant %s", got, c.log)
				}
			})
		})
	}
}

// TestRunNow proves that a run which was under way is taken for the one that was
// asked for, that every change of its state is told once, and what is returned.
func TestRunNow(t *testing.T) {
	t.Parallel()
	const (
		joined  = `{"run_id": "1", "state": "requested", "trigger": "schedule", "requested_at": "2026-11-23T03:00:00Z", "joined": true}`
		running = `{"run_id": "1", "state": "running", "request_id": 42}`
	)
	for name, c := range map[string]struct {
		started, last string
		says          string
		want          history.Run
		progress      []string
	}{
		"success": {
			joined, `{"run_id": "1", "state": "succeeded", "backup_id": "b", "finished_at": "2026-11-23T03:00:09Z"}`, "",
			history.Run{ID: "1", State: history.Succeeded, BackupID: "b", FinishedAt: time.Date(2026, 11, 23, 3, 0, 9, 0, time.UTC)},
			[]string{"1 requested true", "1 running false", "1 succeeded false"},
		},
		"failure": {
			joined, `{"run_id": "1", "state": "failed", "code": "http_503", "error": "HTTP 503, BOOT_ERROR."}`,
			"run 1 failed with http_503: the function does not start (HTTP 503, BOOT_ERROR.). " + strings.TrimSuffix(codes.Lookup("http_503", "").Remedy, "."),
			history.Run{ID: "1", State: history.Failed, Code: "http_503", Error: "HTTP 503, BOOT_ERROR."},
			[]string{"1 requested true", "1 running false", "1 failed false"},
		},
		"failure of a code of its own, and an alert": {
			joined, `{"run_id": "1", "state": "failed", "code": "disk_full", "function_alert": "not_delivered", "alert_problem": "no subscriber"}`,
			"run 1 failed with disk_full: the function reported a failure. The alert about it was not delivered either: no subscriber",
			history.Run{ID: "1", State: history.Failed, Code: "disk_full"},
			[]string{"1 requested true", "1 running false", "1 failed false"},
		},
		"no run":       {`{"state": "requested"}`, "", "unexpected form: it names no run", history.Run{State: history.Requested}, nil},
		"no document":  {`[]`, "", "unexpected form: json", history.Run{}, nil},
		"no state":     {joined, `[]`, "wait for run 1, which is running: the database's answer has an unexpected form", history.Run{ID: "1", State: history.Running, RequestID: id(42)}, []string{"1 requested true", "1 running false"}},
		"no beginning": {"", "", "the database could not start the backup", history.Run{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := &chain{started: slices.DeleteFunc([]string{c.started}, func(s string) bool { return s == "" }), states: map[string][]string{"1": {running, c.last}}}
				var progress []string
				run, err := db.service().RunNow(t.Context(), nightly, func(run history.Run, joined bool) {
					progress = append(progress, fmt.Sprint(run.ID, " ", run.State, " ", joined))
				})
				if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("got the error %v, want %q", err, c.says)
				}
				if (run.State == history.Failed || name == "no beginning") != errors.Is(err, ErrNotVerified) {
					t.Errorf("the kind of error is %v", err)
				}
				if !reflect.DeepEqual(run, c.want) {
					t.Errorf("got %+v\nwant %+v", run, c.want)
				}
				if !slices.Equal(progress, c.progress) {
					t.Errorf("it told %q, want %q", progress, c.progress)
				}
			})
		})
	}
}

func id(n int64) *int64 { return &n }

// TestRunEndsWithItsTime proves that a run which does not end is waited for
// exactly as long as the caller allows, and that the error then says how far it
// is; and that nil is good enough for its progress.
func TestRunEndsWithItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const running = `{"run_id": "1", "state": "running"}`
		db := &chain{started: []string{running}, states: map[string][]string{"1": {running}}}
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 90200*time.Millisecond)
		defer cancel()
		run, err := db.service().RunNow(ctx, nightly, nil)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotVerified) || run.ID != "1" || run.State != history.Running {
			t.Errorf("got %+v, %v", run, err)
		}
		if took := time.Since(begun); took != 90200*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		if asked := len(db.log) - 1; asked != 181 {
			t.Errorf("it asked %d times", asked)
		}
	})
}

// TestRunThatIsNotSent proves that a run whose request stays in pg_net's queue is
// given up with the reason after three quarters of a minute, and that one whose
// request has left it is not.
func TestRunThatIsNotSent(t *testing.T) {
	t.Parallel()
	const requested = `{"run_id": "1", "state": "requested", "request_id": 42}`
	for response, says := range map[string]string{
		`{"queued": true, "worker": false}`:            "run 1 has not begun: pg_net's worker is not running, and request 42 waits in its queue",
		`{"queued": true, "worker": true, "ahead": 9}`: "run 1 has not begun: pg_net has not sent request 42: 9 others wait before it",
		`{"queued": false}`:                            "context deadline exceeded",
		`[]`:                                           "context deadline exceeded",
	} {
		t.Run(response, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := &chain{
					started: []string{requested}, states: map[string][]string{"1": {requested}},
					response: func(postgres.Access, time.Duration) string { return response },
				}
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				_, err := db.service().RunNow(ctx, nightly, nil)
				if err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("got %v, want %q", err, says)
				}
				took, want := time.Since(begun), probePatience+pollInterval
				if says == "context deadline exceeded" {
					want = 2 * time.Minute
				}
				if took != want || errors.Is(err, ErrNotVerified) != (want < time.Minute) {
					t.Errorf("after %s, want %s: %v", took, want, err)
				}
			})
		})
	}
}

// TestRunWaitsForItsAlert proves that the error of a failed run waits until it is
// known what became of the alert, but not for long.
func TestRunWaitsForItsAlert(t *testing.T) {
	t.Parallel()
	failed := func(alert string) string {
		return `{"run_id": "1", "state": "failed", "code": "internal", "function_alert": "` + alert + `"}`
	}
	for name, c := range map[string]struct {
		states []string
		took   time.Duration
	}{
		"delivered":        {[]string{failed("delivered")}, 0},
		"pending at first": {[]string{failed("pending"), failed("pending"), failed("not_delivered")}, 2 * pollInterval},
		"pending for ever": {[]string{failed("pending")}, alertPatience + pollInterval},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := &chain{started: []string{`{"run_id": "1", "state": "requested"}`}, states: map[string][]string{"1": c.states}}
				begun := time.Now()
				_, err := db.service().RunNow(t.Context(), nightly, nil)
				if took := time.Since(begun); took != c.took || !errors.Is(err, ErrNotVerified) {
					t.Errorf("after %s, want %s: %v", took, c.took, err)
				}
				if delivered := !strings.Contains(err.Error(), "was not delivered either"); delivered != (name != "pending at first") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestProbeWithoutAnswer proves how long a probe is waited for: not at all longer
// when the worker is known to be down, else three quarters of a minute, or as
// long as the caller allows; and that the role that writes is asked about the
// worker when the one that reads cannot see it.
func TestProbeWithoutAnswer(t *testing.T) {
	t.Parallel()
	only := func(response string) func(postgres.Access, time.Duration) string {
		return func(postgres.Access, time.Duration) string { return response }
	}
	for name, c := range map[string]struct {
		response func(postgres.Access, time.Duration) string
		timeout  time.Duration
		took     time.Duration
		says     string
	}{
		"late": {
			func(_ postgres.Access, age time.Duration) string {
				if age < 7*time.Second {
					return `{"queued": true, "worker": true}`
				}
				return `{"answer": {"status": 200, "content": "{\"success\": true}", "signed": true}}`
			}, time.Hour, 7 * time.Second, "",
		},
		"down":        {only(`{"queued": true, "worker": false}`), time.Hour, 0, "pg_net's worker is not running"},
		"down, sent":  {only(`{"queued": false, "worker": false}`), time.Hour, probePatience, "pg_net's worker is not running"},
		"never":       {only(`{"queued": true, "worker": true}`), time.Hour, probePatience, "pg_net has not finished request 42"},
		"interrupted": {only(`{"queued": true, "worker": true}`), time.Second, time.Second, "wait for the answer to request 42 (pg_net has not finished request 42"},
		"malformed":   {only(`[]`), time.Hour, 0, "wait for the answer to request 42"},
		"down, seen by the role that writes": {
			func(access postgres.Access, _ time.Duration) string {
				if access == postgres.ReadOnly {
					return `{"queued": true}`
				}
				return `{"queued": true, "worker": false}`
			}, time.Hour, workerPatience + pollInterval, "pg_net's worker is not running",
		},
		"not seen by the role that writes either": {
			func(access postgres.Access, _ time.Duration) string {
				if access == postgres.ReadOnly {
					return `{"queued": true}`
				}
				return `[]`
			}, time.Hour, probePatience, "pg_net has not finished request 42",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				begun := time.Now()
				err := (&chain{response: c.response}).service().Verify(ctx, nightly, false)
				if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if gaveUp := c.says != "" && name != "interrupted" && name != "malformed"; errors.Is(err, ErrNotVerified) != gaveUp {
					t.Errorf("the kind of error is %v", err)
				}
			})
		})
	}
}

// TestProbeShowsOtherKeys proves that a probe that the gateway refuses is repeated in
// each of the other ways to show the project's keys, and no probe that the function
// answered; that the error is the first refusal unless a later way reaches the function;
// and that a self-hosted runtime that wants a key which the configuration does not send
// is not verified.
func TestProbeShowsOtherKeys(t *testing.T) {
	t.Parallel()
	const (
		success = `{"answer": {"status": 200, "content": "{\"success\": true}", "ours": true, "signed": true}}`
		broken  = `{"answer": {"status": 500, "content": "{\"code\": \"probe_failed\", \"message\": \"m\"}", "ours": true}}`
		unkeyed = `{"answer": {"status": 401, "error_code": "UNAUTHORIZED_NO_AUTH_HEADER"}}`
		wrong   = `{"answer": {"status": 401, "error_code": "UNAUTHORIZED_LEGACY_JWT"}}`
		own     = `{"answer": {"status": 401, "content": "{\"code\": \"unauthorized\"}"}}`
		late    = `{"answer": {"status": 401, "content": "{\"code\": \"request_expired\"}"}}`
		html    = `{"answer": {"status": 401, "content": "<html>"}}`
		token   = `{"answer": {"status": 401, "content": "{\"code\": \"unauthorized\"}", "ours": true}}`
	)
	for name, c := range map[string]struct {
		ways       []string
		selfHosted bool
		says       string // nothing: it is verified
		probes     int
	}{
		"no way but one":                 {ways: []string{unkeyed}, says: "NO_AUTH_HEADER", probes: 2},
		"the second way":                 {ways: []string{unkeyed, success}, probes: 2},
		"the third way":                  {ways: []string{unkeyed, wrong, success}, probes: 3},
		"none of three":                  {ways: []string{unkeyed, wrong, wrong}, says: "NO_AUTH_HEADER", probes: 4},
		"the second way reaches it":      {ways: []string{unkeyed, broken, success}, says: "the function runs, but m", probes: 2},
		"the function refuses the token": {ways: []string{token, success}, says: codes.Lookup("unauthorized", "").Clause(), probes: 1},
		"an own function refuses it":     {ways: []string{own, success}, says: "HTTP 401 unauthorized", probes: 1},
		"an own function, too late":      {ways: []string{late, success}, says: "HTTP 401 request_expired", probes: 1},
		"a gateway without a code":       {ways: []string{html, success}, probes: 2},
		"self-hosted":                    {ways: []string{unkeyed, success}, selfHosted: true, says: "NO_AUTH_HEADER", probes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := &chain{ways: c.ways}
			s := database.service()
			if c.selfHosted {
				s.SelfHosted(&fixedRuntime{})
			}
			err := s.Verify(t.Context(), nightly, false)
			if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, ErrNotVerified) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if len(database.log) != c.probes {
				t.Errorf("it made %d probes, want %d", len(database.log), c.probes)
			}
		})
	}
}

// fixedRuntime is a self-hosted runtime that does not restart.
type fixedRuntime struct{ Runtime }

func (*fixedRuntime) Restarts() bool { return false }
