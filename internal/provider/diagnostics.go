package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// addError turns an error of the domain or of a client into a diagnostic: what
// was tried, what the other side said and what to do next. The errors
// themselves contain no secret.
func addError(diags *diag.Diagnostics, summary string, err error) {
	addErrorAdvice(diags, summary, err, "")
}

// addErrorAdvice is addError with a last paragraph on what to do next.
func addErrorAdvice(diags *diag.Diagnostics, summary string, err error, last string) {
	detail := text.Sentence(err.Error())
	held := ""
	if kept := (*install.HeldError)(nil); errors.As(err, &kept) {
		held = fmt.Sprintf("The apply still holds its lease on backup %s, because it could not reach the project or a request of it may still arrive. The next apply waits until the lease expires, at most %s from now, and then continues.",
			kept.ID, formatDuration(kept.Expires.Round(time.Second)))
	}
	for _, advice := range []string{adviceFor(err), held, last} {
		if advice != "" {
			detail += "\n\n" + advice
		}
	}
	diags.AddError(summary, detail)
}

// adviceFor says what to do about an error that has a known cause, and which
// argument it is about.
func adviceFor(err error) string {
	var foreign *backup.ForeignError
	var busy *install.BusyError
	var rights *install.RightsError
	switch {
	case errors.As(err, &rights):
		var advice []string
		for _, missing := range rights.Missing {
			if one := adviceFor(missing); one != "" && !slices.Contains(advice, one) {
				advice = append(advice, one)
			}
		}
		return strings.Join(advice, " ")
	case errors.As(err, &busy):
		return fmt.Sprintf("Wait for the other apply to finish and apply again, or raise `timeouts`. If the other one died, its lease expires within %s.", formatDuration(max(busy.Expires, time.Second).Round(time.Second)))
	case errors.Is(err, install.ErrLeaseLost):
		return "Wait for the other apply to finish, then plan and apply again."
	case errors.Is(err, install.ErrInstalledMeanwhile):
		return "Plan again: the plan shows what is there, and how to bring it into this state."
	case errors.As(err, &foreign):
		return "Set `adopt_existing = true` to take them over, or choose another `name` or schedule key. If the backup was made by this provider for another state:\n\n" + importBlock(foreign.ID)
	case errors.Is(err, install.ErrLogRefused):
		return "Set `log_constraint = \"extend\"`, or widen the CHECK in your own migrations."
	case errors.Is(err, context.DeadlineExceeded):
		return "The time granted by `timeouts`, or else " + formatDuration(defaultTimeout) + ", is over."
	case errors.Is(err, context.Canceled):
		return "The operation was interrupted."
	case errors.Is(err, supabase.ErrProjectGone):
		return fmt.Sprintf("The project is that of `project_ref`, in the resource or in the provider block, or else of the environment variable %s.", envProjectRef)
	case errors.Is(err, supabase.ErrUnauthorized), errors.Is(err, supabase.ErrForbidden):
		return fmt.Sprintf("The token is that of `access_token` in the provider block, or else of the environment variable %s.", envAccessToken)
	case errors.Is(err, errWrongDatabase):
		return "" // it names the argument or the variable itself
	case errors.Is(err, postgres.ErrUnavailable), errors.Is(err, install.ErrDatabaseRole):
		return fmt.Sprintf("The database URL is that of `database_url` in the provider block, or else of the environment variable %s.", envDatabaseURL)
	}
	return ""
}
