package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// TestAddError proves what a diagnostic adds to an error: the argument that it
// is about, and what to do next.
func TestAddError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("it broke"), "It broke."},
		{fmt.Errorf("apply: %w", &install.BusyError{Expires: 90 * time.Second}), "raise `timeouts`. If the other one died, its lease expires within 1m30s."},
		{&install.BusyError{}, "its lease expires within 1s."},
		{fmt.Errorf("x: %w", install.ErrLeaseLost), "Wait for the other apply to finish, then plan and apply again."},
		{fmt.Errorf("x: %w", install.ErrInstalledMeanwhile), "Plan again"},
		{&backup.ForeignError{ID: backup.ID{ProjectRef: ref, Name: "auto-backup"}, Objects: []string{"job a", "job b"}}, "Set `adopt_existing = true`"},
		{fmt.Errorf("x: %w", install.ErrLogRefused), "Set `log_constraint = \"extend\"`"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), "The time granted by `timeouts`, or else 10m, is over."},
		{fmt.Errorf("x: %w", context.Canceled), "The operation was interrupted."},
		{fmt.Errorf("x: %w", supabase.ErrProjectGone), "The project is that of `project_ref`, in the resource or in the provider block, or else of the environment variable SUPABASE_PROJECT_REF."},
		{fmt.Errorf("x: %w", supabase.ErrUnauthorized), "The token is that of `access_token` in the provider block, or else of the environment variable SUPABASE_ACCESS_TOKEN."},
		{fmt.Errorf("x: %w", supabase.ErrForbidden), "`access_token`"},
		{fmt.Errorf("x: %w", postgres.ErrUnavailable), "The database URL is that of `database_url` in the provider block, or else of the environment variable SUPABASE_DB_URL."},
		// What was done so far matters more than why the time was over.
		{fmt.Errorf("%w: %w", postgres.ErrUnavailable, context.DeadlineExceeded), "The time granted by `timeouts`"},
	} {
		var diags diag.Diagnostics
		addError(&diags, "Cannot read", c.err)
		if len(diags) != 1 || diags[0].Summary() != "Cannot read" || diags[0].Severity() != diag.SeverityError {
			t.Fatalf("%v: got %v", c.err, diags)
		}
		said := diags[0].Detail()
		first, _, _ := strings.Cut(said, "\n\n")
		if !strings.Contains(said, c.want) || !strings.EqualFold(strings.TrimSuffix(first, "."), strings.TrimSuffix(c.err.Error(), ".")) {
			t.Errorf("%v: got %q, want %q", c.err, said, c.want)
		}
	}
}

// TestHeldLease proves that the error of an apply that kept its lease says how long
// the next one waits, and what had failed.
func TestHeldLease(t *testing.T) {
	t.Parallel()
	id := backup.ID{ProjectRef: "abcdefghijklmnopqrst", Name: backup.DefaultName}
	var diags diag.Diagnostics
	addErrorAdvice(&diags, "Cannot install the backup", fmt.Errorf("x: %w", &install.HeldError{ID: id, Expires: 87 * time.Second, Err: errors.New("no response")}), "Apply again.")
	const want = "X: no response.\n\nThe apply still holds its lease on backup abcdefghijklmnopqrst/auto-backup, because it could not reach the project or a request of it may still arrive. " +
		"The next apply waits until the lease expires, at most 1m27s from now, and then continues.\n\nApply again."
	if got := diags[0].Detail(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
