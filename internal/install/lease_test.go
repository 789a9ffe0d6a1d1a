package install

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
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

// TestAcquireSaysWhatItWaitsFor proves that an apply which waits for another one logs
// at once, and then about every 10 s, who holds the lease, since when and until when;
// and that its error says the same if the time is over first.
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
			_, err := s.acquire(ctx, found)
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
