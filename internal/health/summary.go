package health

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// inWords are the conditions as they stand after the name of a backup.
var inWords = map[checks.Condition]string{
	checks.NotInstalled:  "is not installed",
	checks.SchedulerDown: "does not tick",
	checks.Failing:       "is failing",
	checks.Late:          "is late",
	checks.Running:       "is running: an attempt is under way",
	checks.NeverRan:      "has not run yet",
	checks.Healthy:       "is healthy",
}

// summary says the condition in one sentence, with the last success or the first
// problem.
func (a *assessment) summary() string {
	lead := fmt.Sprintf("Backup %s of project %s %s", a.ID.Name, a.ID.ProjectRef, inWords[a.Condition])
	if a.Condition == checks.Healthy {
		return lead + a.succeeded(": ") + "."
	}
	if a.Condition == checks.Running {
		return lead + a.succeeded("; ") + "."
	}
	first := cmp.Or(a.Problems[0].Lead, a.Problems[0].Message)
	more := ""
	switch n := len(a.Problems) - 1; n {
	case 0:
	case 1:
		more = " (and 1 more problem)"
	default:
		more = fmt.Sprintf(" (and %d more problems)", n)
	}
	return lead + ": " + text.Uncapitalize(strings.TrimSuffix(first, ".")) + more + "."
}

// succeeded says when the last backup succeeded, after a separator; it is empty
// when none has.
func (a *assessment) succeeded(separator string) string {
	last := a.LastSuccess
	if last == nil {
		return ""
	}
	words := fmt.Sprintf("%sthe last one succeeded %s ago, at %s", separator, text.Duration(a.subject.Now.Sub(last.FinishedAt)), text.Time(last.FinishedAt))
	if last.Records != nil {
		words += fmt.Sprintf(" with %d records", *last.Records)
	}
	return words
}

func names(jobs []backup.Job) string {
	var list []string
	for _, j := range jobs {
		list = append(list, j.Name+" ("+j.Schedule+")")
	}
	word := "the job "
	if len(list) > 1 {
		word = "the jobs "
	}
	return word + strings.Join(list, ", ")
}

// clause is a text from elsewhere, made fit to stand within a sentence.
func clause(s string) string { return strings.TrimSuffix(text.Line(s), ".") }
