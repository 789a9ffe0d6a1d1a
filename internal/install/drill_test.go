package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// drills is a database whose answers about a drill a test decides. What a real one
// answers is tested on the stack.
type drills struct {
	postgres.DB // a method that no test expects is nil and so breaks it

	// requests are the answers to requests for a drill, one after the other; states
	// those to the question how far it is, of which the last one stays. An answer that is
	// no JSON is an error: "lost" one whose outcome is not known.
	requests, states []string
	asked            []string
}

func (d *drills) Query(ctx context.Context, _ postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer := ""
	switch sql {
	case queries.Drill:
		answer, d.requests = d.requests[0], d.requests[1:]
		d.asked = append(d.asked, "request")
	case queries.DrillState:
		if answer = d.states[0]; len(d.states) > 1 {
			d.states = d.states[1:]
		}
		d.asked = append(d.asked, fmt.Sprint("state ", args[1:]))
	}
	switch {
	case answer == "":
		return nil, nil
	case answer == "lost":
		return nil, fmt.Errorf("the connection broke: %w", postgres.ErrOutcomeUnknown)
	case !json.Valid([]byte(answer)):
		return nil, errors.New(answer)
	}
	return json.RawMessage(answer), nil
}

// TestDrillNow proves what a requested drill comes to: its result is returned whatever
// it is, every stage is told once, a lost answer leads to a second request only if the
// project has none, and a drill that will have no result ends with the reason.
func TestDrillNow(t *testing.T) {
	t.Parallel()
	const (
		before    = `{"newest": 7, "timeout_seconds": 60, "logged": true}`
		requested = `{"requested_at": "2026-11-23T03:00:00Z", "joined": false, "job": 5}`
		joined    = `{"requested_at": "2026-11-23T03:00:00Z", "joined": true, "job": 5}`
		waits     = `{"newest": 7, "job": 5, "logged": true}`
		running   = `{"newest": 7, "job": 5, "logged": true, "tick": {"status": "running", "at": "2026-11-23T03:01:00Z"}}`
		other     = `{"newest": 7, "job": 5, "logged": true, "tick": {"status": "succeeded", "at": "2026-11-23T03:01:00Z"}}`
		refused   = `{"newest": 7, "job": 5, "logged": true, "tick": {"status": "failed", "message": "connection failed", "at": null}}`
		unlogged  = `{"newest": 7, "job": 5, "logged": false}`
		gone      = `{"newest": 7, "job": null, "logged": true}`
		failed    = `{"newest": 7, "job": null, "logged": true, "tick": {"status": "failed", "message": "ERROR: out of memory\nmore", "at": "2026-11-23T03:01:00Z"}}`
		result    = `{"newest": 8, "job": null, "logged": true, "drill": {"state": "failed", "code": "drill_check"}}`
	)
	for name, c := range map[string]struct {
		requests, states []string
		says             string
		told             string
		// asks are the beginning of what it asks.
		asks string
	}{
		"a result":       {[]string{requested}, []string{before, waits, running, running, result}, "", "asked, begun, begun result", "state [<nil> <nil> <nil>], request, state [7 5 2026-11-23T03:00:00Z]"},
		"at once":        {[]string{requested}, []string{before, result}, "", "asked, begun result", ""},
		"joined":         {[]string{joined}, []string{before, running, result}, "", "asked joined, begun joined, begun joined result", ""},
		"another drill":  {[]string{requested}, []string{before, other, other, running, result}, "", "asked, begun waiting, begun, begun result", ""},
		"no history":     {[]string{requested}, append([]string{before}, append(slices.Repeat([]string{unlogged}, 35), result)...), "", "asked, begun result", ""},
		"lost and made":  {[]string{"lost"}, []string{before, gone, waits, running, result}, "", "asked lost, lost, begun lost, begun lost result", "state [<nil> <nil> <nil>], request, state [7 <nil> <nil>], state [7 <nil> <nil>], state [7 5 <nil>]"},
		"lost and ended": {[]string{"lost"}, []string{before, gone, result}, "", "asked lost, begun lost result", ""},
		"lost, not made": {
			[]string{"lost", requested}, append(append([]string{before}, slices.Repeat([]string{gone}, 9)...), waits, result), "",
			"asked lost, again, begun again result", "",
		},
		"lost looks":     {[]string{requested}, []string{before, "lost", "lost", "lost", "lost", "lost", waits, "lost", result}, "", "asked, begun result", ""},
		"six lost looks": {[]string{requested}, []string{before, "lost"}, "wait for the restore drill: the connection broke", "asked", ""},
		"no look":        {[]string{requested}, []string{before, "refused"}, "wait for the restore drill: refused", "asked", ""},
		"not installed":  {nil, []string{""}, "no backup abcdefghijklmnopqrst/nightly is installed", "", ""},
		"no schema":      {nil, []string{"no schema"}, "read the drills of backup abcdefghijklmnopqrst/nightly: no schema", "", ""},
		"refused":        {[]string{"has no drill"}, []string{before}, "the database could not start the restore drill: has no drill", "", ""},
		"no time":        {[]string{`{}`}, []string{before}, "unexpected form: it names no drill", "", ""},
		"an error":       {[]string{requested}, []string{before, running, failed}, "the job nightly-drill_now of pg_cron ended with an error: ERROR: out of memory", "asked, begun", ""},
		"removed":        {[]string{requested}, []string{before, waits, gone}, "the job nightly-drill_now of pg_cron was removed before the restore drill had a result", "asked", ""},
		"not started":    {[]string{requested}, []string{before, waits}, "pg_cron has not started the job nightly-drill_now for 2 min: its scheduler", "asked", ""},
		"no connection":  {[]string{requested}, []string{before, refused}, "nightly-drill_now for 2 min: connection failed", "asked", ""},
		"no end":         {[]string{requested}, []string{before, running}, "wait for the restore drill: context deadline exceeded", "asked, begun", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := &drills{requests: c.requests, states: c.states}
				var told []string
				started := time.Now()
				d, err := NewService("abcdefghijklmnopqrst", nil, db).DrillNow(t.Context(), nightly, 0, func(d Drilling) {
					var words []string
					for word, is := range map[string]bool{
						"1 asked": len(told) == 0, "2 begun": d.Begun, "3 waiting": d.Waiting, "4 joined": d.Joined, "5 again": d.Repeated,
						"6 lost": d.RequestedAt.IsZero(), "7 result": d.Result != nil,
					} {
						if is {
							words = append(words, word)
						}
					}
					slices.Sort(words)
					for i := range words {
						words[i] = words[i][2:]
					}
					told = append(told, strings.Join(words, " "))
				})
				if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("got the error %v, want %q", err, c.says)
				}
				if got := strings.Join(told, ", "); got != c.told {
					t.Errorf("it told %q, want %q", got, c.told)
				}
				if (err == nil) != (d.Result != nil) || err == nil && d.Result.State != facts.DrillFailed {
					t.Errorf("got %+v", d)
				}
				if got := strings.Join(db.asked, ", "); !strings.HasPrefix(got, c.asks) {
					t.Errorf("it asked %s", got)
				}
				// The drill's own time, the time to begin, and some seconds.
				if took := time.Since(started); took > 4*time.Minute || errors.Is(err, context.DeadlineExceeded) != (took == 4*time.Minute) {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// TestDrillNowEndsWithItsTime proves that a drill is waited for as long as the caller
// allows, with pauses that grow, and that nil is good enough for its progress.
func TestDrillNowEndsWithItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &drills{
			requests: []string{`{"requested_at": "2026-11-23T03:00:00Z", "job": 5}`},
			states:   []string{`{"newest": 0}`, `{"job": 5, "logged": true, "tick": {"status": "running", "at": "2026-11-23T03:01:00Z"}}`},
		}
		begun := time.Now()
		d, err := NewService("abcdefghijklmnopqrst", nil, db).DrillNow(t.Context(), nightly, time.Hour, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !d.Asked || !d.Begun || d.Limit != time.Hour {
			t.Errorf("got %+v, %v", d, err)
		}
		if took := time.Since(begun); took != time.Hour {
			t.Errorf("it took %s", took)
		}
		if asked := len(db.asked); asked < 700 || asked > 760 {
			t.Errorf("it asked %d times", asked)
		}
	})
}
