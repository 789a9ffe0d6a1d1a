package health

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
)

func (a *assessment) summary() string {
	last := ""
	if s := a.LastSuccess; s != nil {
		records := ""
		if s.Records != nil {
			records = fmt.Sprintf(" with %d records", *s.Records)
		}
		last = fmt.Sprintf("the last one succeeded %s ago, at %s%s", ago(a.now.Sub(s.FinishedAt)), stamp(s.FinishedAt), records)
	}
	more := ""
	if n := len(a.Problems) - 1; n == 1 {
		more = " (and 1 more problem)"
	} else if n > 1 {
		more = fmt.Sprintf(" (and %d more problems)", n)
	}
	lead := fmt.Sprintf("Backup %s of project %s ", a.ID.Name, a.ID.ProjectRef)
	var words string
	switch a.Condition {
	case ConditionHealthy:
		return lead + "is healthy: " + cmp.Or(last, "none is due") + "."
	case ConditionRunning:
		return lead + "is running: an attempt is under way" + prefixed("; ", last) + "."
	case ConditionNotInstalled:
		words = "is not installed"
	case ConditionSchedulerDown:
		words = "does not tick"
	case ConditionFailing:
		words = "is failing"
	case ConditionLate:
		words = "is late"
	case ConditionNeverRan:
		words = "has not run yet"
	}
	first := cmp.Or(a.Problems[0].lead, a.Problems[0].Message)
	return lead + words + ": " + strings.TrimSuffix(lowerFirst(first), ".") + more + "."
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

// firstLine is the message of an error of SQL without what PostgreSQL adds to it.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return oneLine(line)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func lowerFirst(text string) string {
	if len(text) > 1 && text[1] >= 'a' && text[1] <= 'z' {
		return strings.ToLower(text[:1]) + text[1:]
	}
	return text
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
