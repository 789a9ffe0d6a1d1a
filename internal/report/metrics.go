package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/notify"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// exposition is OpenMetrics in the making. All metrics are gauges, which OpenMetrics and
// the older text format of Prometheus write alike.
type exposition struct {
	strings.Builder
	// backup are the labels of each sample.
	backup []string
	family string
}

// Metrics returns a status as OpenMetrics, which is also Prometheus' text format 0.0.4.
// What is not known has no sample. It has names and numbers, and no value of a row.
func Metrics(s health.Status) string {
	e := exposition{backup: []string{"project", s.ID.ProjectRef, "backup", string(s.ID.Name)}}
	e.start("healthy", "", "Whether backups are made as they should be.")
	e.sample(truth(s.Healthy()))
	e.start("state", "", "State of the backup; 1 for the one that it is in.")
	for _, c := range checks.Conditions {
		e.sample(truth(c == s.Condition), "state", string(c))
	}
	e.time("checked_timestamp", "When the status was read, by the clock of the database.", s.CheckedAt)
	e.time("watchdog_timestamp", "When the watchdog last ran.", s.WatchedAt)
	if last := s.LastSuccess; last != nil {
		e.time("last_success_timestamp", "When the newest successful backup ended.", last.FinishedAt)
		if length, known := last.Duration(); known {
			e.start("last_success_duration_seconds", "seconds", "Time from the request to the end of the newest successful backup.")
			e.sample(length.Seconds())
		}
		if last.Records != nil {
			e.start("last_success_records", "", "Rows that the newest successful backup saved.")
			e.sample(float64(*last.Records))
		}
	}
	e.start("consecutive_failures", "", "Attempts that failed since the last success.")
	e.sample(float64(s.Failures))
	next := map[string]time.Time{}
	for _, n := range slices.Backward(s.NextRuns) { // the nearest last
		next[n.Schedule] = n.DueAt
	}
	for _, schedule := range slices.Sorted(maps.Keys(next)) {
		e.time("next_run_timestamp", "Next due time of a schedule.", next[schedule], "schedule", schedule)
	}
	e.problems(s)
	e.drill(s)
	e.copies(s)
	e.channels(s)
	if stored := s.StoredBackups; stored != nil {
		e.start("stored_backups", "", "Backups in the backup tables.")
		e.sample(float64(stored.Count))
		e.start("stored_bytes", "bytes", "Size of the backup tables on disk.")
		e.sample(float64(stored.Bytes))
	}
	return e.String() + "# EOF\n"
}

// problems counts the problems by code and severity. A backup without one has no sample.
func (e *exposition) problems(s health.Status) {
	type kind struct{ code, severity string }
	counts := map[kind]int{}
	for _, p := range s.Problems {
		counts[kind{p.Code, severity(s, p)}]++
	}
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b kind) int {
		return strings.Compare(a.severity+" "+a.code, b.severity+" "+b.code)
	})
	for _, k := range kinds {
		e.start("problems", "", "Problems by code.")
		e.sample(float64(counts[k]), "code", k.code, "severity", k.severity)
	}
}

func (e *exposition) drill(s health.Status) {
	d := s.Drill
	if d == nil {
		return
	}
	e.start("drill_success", "", "Whether the newest restore drill passed.")
	e.sample(truth(d.State == facts.DrillSuccessful))
	e.time("drill_timestamp", "When the newest restore drill began.", d.StartedAt)
	if !d.StartedAt.IsZero() && !d.FinishedAt.IsZero() {
		e.start("drill_duration_seconds", "seconds", "How long the newest restore drill took.")
		e.sample(d.FinishedAt.Sub(d.StartedAt).Seconds())
	}
	missing := map[string]int64{}
	for _, t := range d.Tables {
		missing[t.Table] += t.RowsMissing
	}
	for _, table := range slices.Sorted(maps.Keys(missing)) {
		e.start("drill_rows_missing", "", "Live rows that the restored backup lacks.")
		e.sample(float64(missing[table]), "table", table)
	}
}

func (e *exposition) copies(s health.Status) {
	keys := slices.Sorted(maps.Keys(s.Offsite))
	for _, key := range keys {
		if c := s.Offsite[key].Copy; c != nil {
			e.time("offsite_last_success_timestamp", "When the newest copy outside the project was complete.", c.CompletedAt, "destination", key)
		}
	}
	for _, key := range keys {
		e.start("offsite_state", "", "State of a destination of copies outside the project; 1 for the one that it is in.")
		for _, state := range slices.Sorted(maps.Keys(stateWords)) {
			e.sample(truth(state == s.Offsite[key].State), "destination", key, "state", string(state))
		}
	}
}

func (e *exposition) channels(s health.Status) {
	names := slices.Sorted(maps.Keys(s.Channels))
	for _, channel := range names {
		if d := s.Channels[channel].Delivered; d != nil {
			e.time("channel_last_delivery_timestamp", "When the newest message to the heartbeat or a webhook arrived.", d.FinishedAt, "channel", channel)
		}
	}
	for _, channel := range names {
		e.start("channel_lost_messages", "", "Messages to the heartbeat or a webhook that were given up since one arrived.")
		e.sample(float64(s.Channels[channel].Losses), "channel", channel)
	}
	for _, channel := range names {
		if c := s.Channels[channel]; c.State != "" {
			e.start("channel_state", "", "State of the heartbeat or a webhook; 1 for the one that it is in.")
			for _, state := range notify.States() {
				e.sample(truth(state == c.State), "channel", channel, "state", string(state))
			}
		}
	}
}

// start begins a family, unless it is the present one.
func (e *exposition) start(name, unit, help string) {
	name = "aimindset_backup_" + name
	if name == e.family {
		return
	}
	e.family = name
	_, _ = fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
	if unit != "" {
		_, _ = fmt.Fprintf(e, "# UNIT %s %s\n", name, unit)
	}
}

// sample adds a sample to the family, with labels besides those of the backup.
func (e *exposition) sample(value float64, labels ...string) {
	var pairs []string
	for pair := range slices.Chunk(slices.Concat(e.backup, labels), 2) {
		pairs = append(pairs, pair[0]+`="`+label(pair[1])+`"`)
	}
	_, _ = fmt.Fprintf(e, "%s{%s} %s\n", e.family, strings.Join(pairs, ","), strconv.FormatFloat(value, 'f', -1, 64))
}

// time adds a time, unless it is zero.
func (e *exposition) time(name, help string, at time.Time, labels ...string) {
	if at.IsZero() {
		return
	}
	e.start(name+"_seconds", "seconds", help)
	e.sample(float64(at.Unix()), labels...)
}

// label is a text from elsewhere as it stands between the quotes of a label.
func label(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text.Head(text.Printable(s), longest))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
