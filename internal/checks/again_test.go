package checks

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// answers gives one answer, or an error, and counts how often it is asked.
type answers struct {
	text  string
	err   error
	asked int
}

func (a *answers) Query(context.Context, postgres.Access, string, ...any) (json.RawMessage, error) {
	a.asked++
	return json.RawMessage(a.text), a.err
}

// TestLookAgain proves that a process that is missing is looked for again after a
// pause, and only then; that one which has come back is not missing, nor one that
// was there before; and that the pause ends when nobody waits any more.
func TestLookAgain(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		before facts.Processes
		answer string
		asked  int
		after  facts.Processes
	}{
		"both run":               {facts.Processes{PgCron: true, PgNet: true}, ``, 0, facts.Processes{PgCron: true, PgNet: true}},
		"the scheduler restarts": {facts.Processes{PgNet: true}, `{"processes": {"pg_cron": true, "pg_net": true}}`, 1, facts.Processes{PgCron: true, PgNet: true}},
		"they take turns":        {facts.Processes{PgNet: true}, `{"processes": {"pg_cron": true}}`, 1, facts.Processes{PgCron: true, PgNet: true}},
		"the worker is gone":     {facts.Processes{PgCron: true}, `{"processes": {"pg_cron": true}}`, 1, facts.Processes{PgCron: true}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := healthy(t)
				s.Processes = c.before
				db := &answers{text: c.answer}
				begin := time.Now()
				if err := s.LookAgain(t.Context(), db); err != nil || s.Processes != c.after || db.asked != c.asked {
					t.Errorf("after %d looks, there are %+v: %v", db.asked, s.Processes, err)
				}
				if took, want := time.Since(begin), time.Duration(c.asked)*Pause; took != want {
					t.Errorf("it took %s, not %s", took, want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := healthy(t)
		s.Processes = facts.Processes{}
		ctx, cancel := context.WithTimeout(t.Context(), Pause/2)
		defer cancel()
		if err := s.LookAgain(ctx, &answers{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a look that nobody waits for ends with %v", err)
		}
		refused := errors.New("no")
		if err := s.LookAgain(t.Context(), &answers{err: refused}); !errors.Is(err, refused) {
			t.Errorf("a look that is refused ends with %v", err)
		}
	})
	// What has a known cause is not waited for.
	s := healthy(t)
	s.Processes.PgCron = false
	s.job("daily").Orphaned = true
	if err := s.LookAgain(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
