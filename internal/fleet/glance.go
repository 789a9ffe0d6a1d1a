package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

const (
	// glance is a configuration that asks how the backups of all projects are doing.
	glance = `terraform {
  required_providers {
    aimindset = { source = "aimindset/aimindset" }
  }
}

data "aimindset_auto_backups" "all" {
  lifecycle {
    postcondition {
      condition     = self.unreadable == 0
      error_message = self.report
    }
  }
}
`

	// nights is a run history of thirty nights that succeeded.
	nights = `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id)
select s.backup, 'daily', 'schedule', d.due_at, 1, 'succeeded', d.due_at, d.due_at + interval '9 seconds', gen_random_uuid()
from auto_backup.settings s
cross join lateral auto_backup.due_times(s.document #> '{schedules,daily}', now() - interval '30 days', now()) as d (due_at)`
)

// recordGlance adds to a recording what the data source aimindset_auto_backups reads of
// the stack's project, after thirty nights.
func recordGlance(ctx context.Context, s *stack.Stack, provider string) (err error) {
	if _, err := s.Admin().Exec(ctx, nights); err != nil {
		return fmt.Errorf("make a run history: %w", err)
	}
	dir, err := os.MkdirTemp("", "aimindset-glance-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := stack.NewWorkingDirectory(ctx, dir, provider, s.Environ(), map[string]string{"main.tf": glance})
	if err != nil {
		return err
	}
	_, err = w.Must(ctx, 0, "plan", "-detailed-exitcode", "-no-color")
	return err
}

// GlanceDirectory creates a directory in which a plan reads how the backups of all
// projects of a fleet are doing.
func GlanceDirectory(ctx context.Context, dir, provider string, f *stack.Fleet) (*stack.WorkingDirectory, error) {
	return stack.NewWorkingDirectory(ctx, dir, provider, f.Environ(), map[string]string{"main.tf": glance})
}

// CheckGlance reports whether a plan in such a directory did not cost exactly one request
// for the list of projects, and four requests and one statement for each of them.
func CheckGlance(f *stack.Fleet) error {
	const requests = 4 // functions, secrets, API keys, the platform's backups
	return check(f, 1, requests)
}
