package checks

import (
	"context"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
)

// Pause is the time between two looks for a process that seems to be missing.
const Pause = 3 * time.Second

// LookAgain looks once more, after a pause, if pg_cron's scheduler or pg_net's
// worker seems to be missing: either may just be restarting, as the server starts
// it again within a second. One that runs at either time is not missing.
func (s *Subject) LookAgain(ctx context.Context, db facts.Querier) error {
	if !s.lacksScheduler() && !s.lacksNetWorker() {
		return nil
	}
	timer := time.NewTimer(Pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	again, err := facts.Ask(ctx, db, facts.Request{Parts: []facts.Part{"processes"}})
	if err != nil {
		return err
	}
	s.Processes.PgCron = s.Processes.PgCron || again.Processes.PgCron
	s.Processes.PgNet = s.Processes.PgNet || again.Processes.PgNet
	return nil
}
