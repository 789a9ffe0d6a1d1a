// Package report says how a backup is doing: to people as Markdown and as a picture, and
// to Prometheus as metrics.
//
// What it says to people does not change while nothing happens: it has times and no ages,
// so that a configuration with a report as its output plans empty a minute later. Metrics
// have the time at which they were read, by which a reader sees that they are old.
package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// limit is how long a report is at most, in bytes, before what was left out is counted.
const limit = 60 << 10

// Markdown returns a status as GitHub-flavoured Markdown, for the summary of a job, a
// comment or a chat. It is less than 64 KiB long, and less than 4,000 characters where
// nothing is wrong. Texts from the project mean nothing in it but themselves.
func Markdown(s health.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s **%s**\n\n", verdict(s), prose(s.Verdict()+remarks(s)+"."))
	item := func(name, said string) {
		if said != "" && b.Len() < limit/2 {
			fmt.Fprintf(&b, "- %s: %s\n", name, said)
		}
	}
	item("Last success", success(s))
	item("Next run", next(s))
	item("Restore drill", drill(s))
	for _, key := range slices.Sorted(maps.Keys(s.Offsite)) {
		item("Off-site copy "+code(key), copied(s, s.Offsite[key]))
	}
	for _, channel := range slices.Sorted(maps.Keys(s.Channels)) {
		item(channelName(channel), heard(s, s.Channels[channel]))
	}
	item("Stored backups", stored(s))
	if days := calendar(s.Nights); days != "" {
		fmt.Fprintf(&b, "\nThe last %d nights:\n\n%s", len(s.Nights), days)
	}
	if s.Installation == health.InstallationProvider && s.Location != nil {
		fmt.Fprintf(&b, "\nTimes and days are those of %s.\n", prose(s.Location.String()))
	}
	problems(&b, s)
	return b.String()
}

// verdict is a sign for the whole.
func verdict(s health.Status) string {
	switch {
	case !s.Healthy():
		return "❌"
	case s.Condition == checks.Healthy:
		return "✅"
	}
	return "⏳"
}

// remarks says how many problems there are in spite of which backups are made.
func remarks(s health.Status) string {
	switch n := len(s.Problems); {
	case s.Condition != checks.Healthy || n == 0:
		return ""
	case n == 1:
		return ", with 1 warning"
	default:
		return fmt.Sprintf(", with %d warnings", n)
	}
}

// success says when the last backup succeeded.
func success(s health.Status) string {
	run := s.LastSuccess
	if run == nil {
		if s.Installation == health.InstallationNone {
			return ""
		}
		return "none"
	}
	said := s.Moment(run.FinishedAt)
	if length, known := run.Duration(); known {
		said += ", took " + text.Duration(length)
	}
	if run.Records != nil {
		said += fmt.Sprintf(", %d records", *run.Records)
	}
	return said + how(*run)
}

// how says what started a run if that was not its job.
func how(run history.Run) string {
	switch run.Trigger {
	case history.TriggerRetry:
		return fmt.Sprintf(", attempt %d", run.Attempt)
	case history.TriggerCatchUp:
		return ", started late by the watchdog"
	case history.TriggerManual:
		return ", started manually"
	case history.TriggerSchedule:
	}
	return ""
}

// next says what comes next: each schedule, and the attempt before it.
func next(s health.Status) string {
	var all []string
	if s.RetryMissed() {
		all = append(all, "another attempt was due at "+s.Moment(s.RetryDue))
	} else if !s.RetryDue.IsZero() {
		all = append(all, s.Moment(s.RetryDue)+", another attempt")
	}
	for _, run := range s.NextRuns {
		all = append(all, s.Moment(run.DueAt)+" "+code(run.Schedule))
	}
	if len(all) == 0 && s.Installation != health.InstallationNone {
		return "none"
	}
	const most = 5
	if more := len(all) - most; more > 0 {
		all = append(all[:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(all, "; ")
}

// drill says what the newest restore drill found.
func drill(s health.Status) string {
	d := s.Drill
	switch {
	case d == nil && s.Installation == health.InstallationProvider:
		return "none so far"
	case d == nil:
		return ""
	}
	of := "the backup of " + s.Moment(d.MadeAt)
	if d.MadeAt.IsZero() {
		of = "the newest backup"
	}
	switch d.State {
	case facts.DrillSuccessful:
		return fmt.Sprintf("%s, restored %s (%s)", s.Moment(d.StartedAt), of, tables(len(d.Tables)))
	case facts.DrillTimedOut:
		return fmt.Sprintf("%s, did not finish in time with %s", s.Moment(d.StartedAt), of)
	}
	return fmt.Sprintf("%s, FAILED for %s: %s", s.Moment(d.StartedAt), of, codes.Lookup(d.Code, "").Clause())
}

func tables(n int) string {
	if n == 1 {
		return "1 table"
	}
	return fmt.Sprintf("%d tables", n)
}

// stateWords are the states of a destination in words.
var stateWords = map[offsite.State]string{
	offsite.StateFailing:    "FAILING",
	offsite.StateNever:      "NEVER MADE",
	offsite.StateLate:       "LATE",
	offsite.StateUnverified: "NOT VERIFIED",
	offsite.StatePending:    "pending",
	offsite.StateCopied:     "copied",
}

// copied says how the copies at a destination are doing.
func copied(s health.Status, d health.Destination) string {
	said := stateWords[d.State]
	if d.Problem.Code != "" {
		said += ", " + codes.Lookup(d.Problem.Code, d.Problem.SQLState).Clause()
	}
	if c := d.Copy; c != nil {
		said += fmt.Sprintf("; the newest is of the backup of %s, %d rows, %s", s.Moment(c.MadeAt), c.Rows, text.Bytes(c.Bytes))
		if !c.LockedUntil.IsZero() {
			said += ", locked until " + s.Moment(c.LockedUntil)
		}
	}
	return said
}

// channelName is a channel as a reader calls it: the heartbeat, or the webhook of a key.
func channelName(channel string) string {
	if channel == notify.HeartbeatChannel {
		return "Heartbeat"
	}
	return "Webhook " + code(strings.TrimPrefix(channel, notify.WebhookChannel("")))
}

// heard says whether a channel takes what is sent there.
func heard(s health.Status, c health.Channel) string {
	arrived := "nothing has arrived yet"
	if d := c.Delivered; d != nil {
		arrived = fmt.Sprintf("the last to arrive is %s of %s", code(d.Event), s.Moment(d.HappenedAt))
	}
	switch {
	case c.Secret == notify.SecretMissing:
		return "FAILING, its secret is missing; " + arrived
	case c.Secret == notify.SecretUnreadable:
		return "FAILING, its secret cannot be decrypted; " + arrived
	case c.State == notify.StateFailing:
		return "FAILING, messages were not delivered; " + arrived
	case c.State == "":
		return "not known"
	case c.Last == nil:
		return "nothing to tell yet"
	case c.State == notify.StateWaiting:
		return "on its way; " + arrived
	}
	return arrived
}

// stored says what the backups in the database's tables take. The size of the whole
// database is not said: it changes all the time.
func stored(s health.Status) string {
	g := s.StoredBackups
	if g == nil {
		return ""
	}
	said := fmt.Sprintf("%d, %s", g.Count, text.Bytes(g.Bytes))
	if g.Count > 1 && !g.Oldest.IsZero() {
		said += ", the oldest of " + s.Moment(g.Oldest)
	}
	if f := s.Forecast; f != nil && f.GrowthPerWeek != nil {
		said += fmt.Sprintf(", growing by %s per week", text.Bytes(max(*f.GrowthPerWeek, 0)))
	}
	return said
}

// problems writes what is wrong and what to do.
func problems(b *strings.Builder, s health.Status) {
	if len(s.Problems) == 0 {
		return
	}
	b.WriteString("\n**Problems**\n\n")
	for i, p := range s.Problems {
		said := fmt.Sprintf("%d. **%s** %s: %s", i+1, severity(s, p), code(p.Code), prose(s.Local(p.Message)))
		if p.Remedy != "" {
			said += "\n   *What to do:* " + prose(p.Remedy)
		}
		if b.Len()+len(said) > limit {
			fmt.Fprintf(b, "\nAnd %d more.\n", len(s.Problems)-i)
			return
		}
		b.WriteString(said + "\n")
	}
}

// severity says in one word whether backups are made in spite of a problem.
func severity(s health.Status, p checks.Finding) string {
	if s.Warns(p) {
		return "warning"
	}
	return "error"
}
