package health

import (
	"cmp"
	"fmt"
	"strings"
	"time"

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

// location is the backup's time zone.
func (s Status) location() *time.Location { return cmp.Or(s.Location, time.UTC) }

// Moment returns a time as the clock of the backup's zone shows it, to the minute and
// with the zone's offset, such as "2026-11-27 03:00 (UTC-03:00)".
func (s Status) Moment(t time.Time) string {
	t = t.In(s.location())
	if _, offset := t.Zone(); offset == 0 {
		return t.Format("2006-01-02 15:04 (UTC)")
	}
	return t.Format("2006-01-02 15:04 (UTC-07:00)")
}

// stamps finds the times in a message, which are as RFC 3339 has them.
var stamps = text.Pattern(`\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}\b)`)

// Local returns a message of the status with its times as Moment has them.
func (s Status) Local(message string) string {
	return stamps().ReplaceAllStringFunc(message, func(stamp string) string {
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			return stamp // not a date
		}
		return s.Moment(at)
	})
}

// Verdict says the condition in one sentence without its full stop.
func (s Status) Verdict() string {
	return fmt.Sprintf("Backup %s of project %s %s", s.ID.Name, s.ID.ProjectRef, inWords[s.Condition])
}

// summary says the condition in one sentence, with the last success or the first
// problem, and what comes next.
func (a *assessment) summary() string {
	lead := a.Verdict()
	var rest []string
	if said := a.succeeded(); said != "" {
		rest = append(rest, said)
	}
	next := a.next()
	if next != "" {
		rest = append(rest, next)
		next = "; " + next
	}
	said := strings.Join(rest, "; ")
	switch {
	case said != "" && a.Condition == checks.Healthy:
		said = ": " + said
	case said != "":
		said = "; " + said
	}
	if a.Condition == checks.Healthy || a.Condition == checks.Running {
		return lead + said + "."
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
	return lead + ": " + a.Local(text.Uncapitalize(strings.TrimSuffix(first, "."))) + more + next + "."
}

// next says what is done next and when; it is empty where nothing is, and where the
// problem of a backup that has never run says it.
func (a *assessment) next() string {
	switch {
	case a.Condition == checks.NeverRan:
		return ""
	case a.RetryMissed():
		return "another attempt was due at " + a.Moment(a.RetryDue)
	case !a.RetryDue.IsZero():
		return "another attempt is due at " + a.Moment(a.RetryDue)
	case len(a.NextRuns) > 0:
		return "the next one is due at " + a.Moment(a.NextRuns[0].DueAt)
	}
	return ""
}

// succeeded says when the last backup succeeded; it is empty when none has.
func (a *assessment) succeeded() string {
	last := a.LastSuccess
	if last == nil {
		return ""
	}
	words := "the last one succeeded at " + a.Moment(last.FinishedAt)
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
