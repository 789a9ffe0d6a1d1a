package health

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// inWords are the conditions as they stand after the name of a backup.
var inWords = map[Condition]string{
	ConditionNotInstalled:  "is not installed",
	ConditionSchedulerDown: "does not tick",
	ConditionFailing:       "is failing",
	ConditionLate:          "is late",
	ConditionRunning:       "is running: an attempt is under way",
	ConditionNeverRan:      "has not run yet",
	ConditionHealthy:       "is healthy",
}

// summary says the condition in one sentence, with the last success or the first
// problem.
func (a *assessment) summary() string {
	lead := fmt.Sprintf("Backup %s of project %s %s", a.ID.Name, a.ID.ProjectRef, inWords[a.Condition])
	switch a.Condition {
	case ConditionHealthy:
		return lead + a.succeeded(": ") + "."
	case ConditionRunning:
		return lead + a.succeeded("; ") + "."
	}
	first := cmp.Or(a.Problems[0].lead, a.Problems[0].Message)
	more := ""
	if n := len(a.Problems) - 1; n == 1 {
		more = " (and 1 more problem)"
	} else if n > 1 {
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
	words := fmt.Sprintf("%sthe last one succeeded %s ago, at %s", separator, ago(a.now.Sub(last.FinishedAt)), stamp(last.FinishedAt))
	if last.Records != nil {
		words += fmt.Sprintf(" with %d records", *last.Records)
	}
	return words
}

// stamp writes a time as RFC 3339 in UTC, to the second.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// ago writes a length of time for a reader: its two largest units.
func ago(d time.Duration) string {
	d = max(d, 0)
	days, hours, minutes := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min", minutes)
	}
	return fmt.Sprintf("%d s", int(d/time.Second))
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
