package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/install"
)

// addError turns an error of the domain or of a client into a diagnostic: what
// was tried, what the other side said and what to do next. The errors
// themselves hold no secret.
func addError(diags *diag.Diagnostics, summary string, err error) {
	addErrorAdvice(diags, summary, err, "")
}

// addErrorAdvice is addError with a last paragraph on what to do next.
func addErrorAdvice(diags *diag.Diagnostics, summary string, err error, last string) {
	detail := sentence(err.Error())
	for _, advice := range []string{adviceFor(err), last} {
		if advice != "" {
			detail += "\n\n" + advice
		}
	}
	diags.AddError(summary, detail)
}

// sentence begins a text with a capital letter and ends it with a full stop.
func sentence(text string) string {
	text = capitalise(text)
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// tidy takes out of diagnostics what does something to a terminal instead of
// being shown on it: names, settings and answers are quoted that anybody may
// have written.
func tidy(diags *diag.Diagnostics) {
	for i, d := range *diags {
		summary, detail := harmless(d.Summary()), harmless(d.Detail())
		if summary == d.Summary() && detail == d.Detail() {
			continue
		}
		at, hasPath := d.(diag.DiagnosticWithPath)
		switch isError := d.Severity() == diag.SeverityError; {
		case hasPath && isError:
			(*diags)[i] = diag.NewAttributeErrorDiagnostic(at.Path(), summary, detail)
		case hasPath:
			(*diags)[i] = diag.NewAttributeWarningDiagnostic(at.Path(), summary, detail)
		case isError:
			(*diags)[i] = diag.NewErrorDiagnostic(summary, detail)
		default:
			(*diags)[i] = diag.NewWarningDiagnostic(summary, detail)
		}
	}
}

// harmless drops control characters but line feeds, characters that are
// invisible or turn the direction of writing, and what is no text.
func harmless(text string) string {
	return strings.Map(func(c rune) rune {
		if c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || unicode.Is(unicode.Co, c)) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, ""))
}

func adviceFor(err error) string {
	var foreign *backup.ForeignError
	var busy *install.BusyError
	switch {
	case errors.As(err, &busy):
		return fmt.Sprintf("Wait for the other apply to finish and apply again, or raise `timeouts`. If the other one died, its lease expires within %s.", formatDuration(max(busy.Expires, time.Second).Round(time.Second)))
	case errors.Is(err, install.ErrLeaseLost):
		return "What was done so far is in the state. Wait for the other apply to finish, then plan and apply again."
	case errors.Is(err, install.ErrInstalledMeanwhile):
		return "Plan again: the plan shows what is there, and how to bring it into this state."
	case errors.As(err, &foreign):
		return fmt.Sprintf("They do not carry this provider's ownership marker: %s.\n\nSet `adopt_existing = true` to take them over, or choose another `name` or schedule key. If the backup was made by this provider for another state:\n\n%s",
			strings.Join(foreign.Objects, "; "), importBlock(foreign.ID))
	case errors.Is(err, install.ErrLogRefused):
		return "Set `log_constraint = \"extend\"`, or widen the CHECK in your own migrations."
	case errors.Is(err, context.DeadlineExceeded):
		return "The time granted by `timeouts`, or else " + formatDuration(defaultTimeout) + ", is over. What was done so far is in the state; run again to continue."
	case errors.Is(err, context.Canceled):
		return "The operation was interrupted. What was done so far is in the state; apply again to continue."
	}
	return ""
}
