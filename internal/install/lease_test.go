package install

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/guard"
)

// held is a database in which another apply holds the lease on a backup until a time.
type held struct {
	postgres.DB
	until time.Time
}

func (h held) Query(context.Context, postgres.Access, string, ...any) (json.RawMessage, error) {
	left := time.Until(h.until)
	return json.Marshal(map[string]any{
		"acquired": left <= 0, "process": "root@elsewhere, process 7", "since": "2026-03-02T06:00:00Z", "until": "2026-03-02T06:01:30Z", "seconds": left.Seconds(),
	})
}

func (h held) QueryAfter(ctx context.Context, first postgres.Statement, _ string, _ ...any) (json.RawMessage, error) {
	lease, err := h.Query(ctx, postgres.ReadWrite, first.SQL)
	answer := map[string]any{"lease": lease}
	if time.Until(h.until) <= 0 {
		answer["observed"] = map[string]any{"each": map[string]any{"auto-backup": map[string]any{"token_digest": map[string]string{"digest": "seen"}}}}
	}
	text, failure := json.Marshal(answer)
	return text, errors.Join(err, failure)
}

// TestAcquireSaysWhatItWaitsFor proves that an apply which waits for another one logs
// at once, and then about every 10 s, who holds the lease, since when and until when;
// that its error says the same if the time is over first; and that one which need not
// wait has observed the backup with the same statement.
func TestAcquireSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	dispatcher := payload.LoadDispatcher()
	found := backup.State{ID: backup.ID{ProjectRef: testRef, Name: "auto-backup"}, Functions: dispatcher.Functions, SchemaDrift: map[string]string{}}
	for what, c := range map[string]struct {
		timeout, wait time.Duration
		lines         int
	}{
		"acquired at last": {10 * time.Minute, 35 * time.Second, 4},
		"given up":         {25 * time.Second, time.Minute, 3},
		"at once":          {time.Minute, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log strings.Builder
			s := NewService(testRef, nil, held{until: time.Now().Add(c.wait)})
			s.Log = slog.New(slog.NewTextHandler(&log, nil))
			ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
			defer cancel()
			_, observed, err := s.acquire(ctx, found)
			if (observed != nil) != (c.wait == 0) || observed != nil && observed.TokenDigest.Digest != "seen" {
				t.Errorf("%s: observed is %+v", what, observed)
			}
			says := []string{"root@elsewhere, process 7", "2026-03-02T06:00:00Z", "2026-03-02T06:01:30Z", string(found.ID.Name)}
			var busy *BusyError
			if c.timeout < c.wait != errors.As(err, &busy) || !errors.As(err, &busy) && err != nil {
				t.Errorf("%s: %v", what, err)
			}
			lines := strings.SplitAfter(log.String(), "\n")
			lines = lines[:len(lines)-1]
			if len(lines) != c.lines {
				t.Errorf("%s: the log has %d lines:\n%s", what, len(lines), log.String())
			}
			if busy != nil {
				lines = append(lines, err.Error())
			}
			for _, line := range lines {
				for _, part := range says {
					if !strings.Contains(line, part) {
						t.Errorf("%s: it does not say %q: %s", what, part, line)
					}
				}
			}
		})
	}
}

// renewing is a database that renews a lease, or says that another apply has it.
type renewing struct {
	postgres.DB
	lost    bool
	renewed int
}

func (r *renewing) Query(context.Context, postgres.Access, string, ...any) (json.RawMessage, error) {
	r.renewed++
	if r.lost {
		return nil, &postgres.Error{SQLState: stateLeaseLost, Message: "another apply acquired it"}
	}
	return json.RawMessage("true"), nil
}

// TestRequestWhileTheLeaseIsHeld proves that the lease is checked before each attempt
// of a request: a request that waits for its turn while the machine sleeps, and whose
// lease another apply has acquired meanwhile, is not sent; one whose lease can be
// renewed is.
func TestRequestWhileTheLeaseIsHeld(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		db := &renewing{lost: lost}
		clock := time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)
		s := NewService(testRef, nil, db)
		s.Now = func() time.Time { return clock }
		l := &lease{service: s, name: "auto-backup", holder: "0123", term: time.Minute}
		l.renewed(clock)
		err := l.request(t.Context(), func(ctx context.Context) error {
			if err := guard.Ask(ctx); err != nil || db.renewed > 0 {
				t.Errorf("the first attempt: %v, and the lease was renewed %d times", err, db.renewed)
			}
			clock = clock.Add(2 * time.Minute)
			return guard.Ask(ctx)
		})
		if errors.Is(err, ErrLeaseLost) != lost || db.renewed != 1 {
			t.Errorf("the attempt after the lease has expired: %v, and the lease was renewed %d times", err, db.renewed)
		}
	}
}

// counted is a database that counts the statements.
type counted struct {
	postgres.DB
	queries, scripts atomic.Int32
}

func (c *counted) Query(context.Context, postgres.Access, string, ...any) (json.RawMessage, error) {
	c.queries.Add(1)
	return nil, nil
}

func (c *counted) Exec(context.Context, string) error {
	c.scripts.Add(1)
	return nil
}

// TestNothingAfterTheRemoval proves that nobody asks for the lease after the removal has
// released it, however long the rest of the destroy takes, as where it restarts a
// runtime; and that the destroy is not stopped because the lease was not renewed.
func TestNothingAfterTheRemoval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &counted{}
		l := &lease{service: NewService(testRef, nil, db), name: "auto-backup", holder: "1", term: time.Minute}
		l.renewed(time.Now())
		ctx, stop := context.WithCancelCause(t.Context())
		defer stop(nil)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.keepRenewing(ctx, stop)
		}()
		time.Sleep(10 * time.Minute)
		if n := db.queries.Swap(0); n < 30 {
			t.Fatalf("before the removal, the lease was renewed %d times in 10 minutes", n)
		}
		if err := l.removal(ctx, "the script"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if err := context.Cause(ctx); err != nil {
			t.Errorf("the destroy was stopped: %v", err)
		}
		stop(nil)
		<-ended
		if !l.release(t.Context()) {
			t.Error("the lease is not released")
		}
		if scripts, queries := db.scripts.Load(), db.queries.Load(); queries != 0 || scripts != 1 {
			t.Errorf("%d scripts and %d other statements were sent", scripts, queries)
		}
	})
}
