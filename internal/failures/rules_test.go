package failures_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/health"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// past is a run history, and what the watchdog does about it at several times.
// Times are days of March 2026 and times of day in UTC, such as "2 03:00".
type past struct {
	name string
	// schedules are cron expressions by key, all in UTC unless a zone follows
	// after "@"; "off" before one says that it is disabled.
	schedules map[string]string
	// attempts and delay are those of retry; allowed is overdue_after, nil for 26h.
	attempts int64
	delay    time.Duration
	allowed  *time.Duration
	// created and updated are the times of the settings, "1 00:00" by default.
	created, updated string
	// since has the watchdog's rows: the time, and after "was" another cron
	// expression than that of the settings. A schedule that is not named has its
	// row of "1 00:00"; one with an empty text has none.
	since map[string]string
	runs  []pastRun
	// says has, by the time at which it is asked, what is expected: "retry <time>",
	// "missed <schedule> <time>" and "overdue", separated by commas.
	says map[string]string
}

type pastRun struct {
	schedule         string
	trigger          history.Trigger
	due              string
	attempt          int
	state            history.State
	started, stopped string
}

const pastLayout = "2 15:04:05"

func pastTime(s string) time.Time {
	if strings.Count(s, ":") == 1 {
		s += ":00"
	}
	t, err := time.Parse(pastLayout, s)
	if err != nil {
		panic(err)
	}
	return time.Date(2026, time.March, t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

func pastText(t time.Time) string { return strings.TrimSuffix(t.UTC().Format(pastLayout), ":00") }

// yesterday is the success of the day before.
var yesterday = pastRun{"daily", "schedule", "1 03:00", 1, "succeeded", "1 03:00", "1 03:01"}

var pasts = []past{
	{
		name: "a success",
		runs: []pastRun{{"daily", "schedule", "2 03:00", 1, "succeeded", "2 03:00", "2 03:01"}},
		says: map[string]string{
			"2 03:30": "", "3 03:19:59": "", "3 03:20": "missed daily 3 03:00", "3 05:01": "missed daily 3 03:00",
			"3 05:01:01": "missed daily 3 03:00, overdue", "4 03:10": "missed daily 3 03:00, overdue", "4 03:20": "missed daily 4 03:00, overdue",
		},
	},
	{
		name: "a success that a wrong clock has dated after now",
		runs: []pastRun{yesterday, {"daily", "schedule", "30 03:00", 1, "succeeded", "30 03:00", "30 03:01"}},
		says: map[string]string{"2 03:20": "missed daily 2 03:00", "2 05:01:01": "missed daily 2 03:00, overdue"},
	},
	{
		name: "a failure, and a success dated after now",
		runs: []pastRun{
			yesterday,
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
			{"manual", "manual", "30 03:00", 1, "succeeded", "30 03:00", "30 03:01"},
		},
		says: map[string]string{"2 03:02": "retry 2 03:20"},
	},
	{
		name: "a failure, and a run under way dated after now",
		runs: []pastRun{
			yesterday,
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
			{"manual", "manual", "30 03:00", 1, "running", "30 03:00", ""},
		},
		says: map[string]string{"2 03:02": "retry 2 03:20"},
	},
	{
		name: "a schedule noted with a date after now", since: map[string]string{"daily": "30 03:00"}, updated: "1 00:00",
		runs: []pastRun{yesterday},
		says: map[string]string{"2 03:20": "missed daily 2 03:00", "2 05:01:01": "missed daily 2 03:00, overdue"},
	},
	{
		name: "no run yet", created: "2 01:00", updated: "2 01:00", since: map[string]string{"daily": "2 01:10"},
		says: map[string]string{
			"2 03:19": "", "2 03:20": "missed daily 2 03:00", "3 03:10": "missed daily 2 03:00", "3 03:10:01": "missed daily 2 03:00, overdue",
		},
	},
	{
		name: "a failure",
		runs: []pastRun{yesterday, {"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"}},
		says: map[string]string{"2 03:02": "retry 2 03:20", "2 03:11:31": "retry 2 03:20", "2 03:20": "retry 2 03:20", "2 03:20:01": "retry 2 03:30", "2 23:00": "retry 2 23:00, overdue"},
	},
	{
		name: "a failure just in time for the next look",
		runs: []pastRun{yesterday, {"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:00:30"}},
		says: map[string]string{"2 03:01": "retry 2 03:10", "2 03:10": "retry 2 03:10"},
	},
	{
		name: "a failure just too late for the next look",
		runs: []pastRun{yesterday, {"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:00:31"}},
		says: map[string]string{"2 03:01": "retry 2 03:20"},
	},
	{
		name: "a longer delay", delay: 2 * time.Hour,
		runs: []pastRun{yesterday, {"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"}},
		says: map[string]string{"2 03:10": "retry 2 05:10", "2 06:00:30": "retry 2 06:10, overdue"},
	},
	{
		name: "no retry", attempts: -1,
		runs: []pastRun{yesterday, {"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"}},
		says: map[string]string{"2 03:10": ""},
	},
	{
		name: "the last attempt",
		runs: []pastRun{
			yesterday,
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
			{"daily", "retry", "2 03:00", 2, "failed", "2 03:20", "2 03:21"},
		},
		says: map[string]string{"2 03:30": ""},
	},
	{
		name: "the last attempt but one", attempts: 2,
		runs: []pastRun{
			yesterday,
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
			{"daily", "retry", "2 03:00", 2, "failed", "2 03:20", "2 03:21"},
		},
		says: map[string]string{"2 03:25": "retry 2 03:40"},
	},
	{
		name: "a retry under way",
		runs: []pastRun{
			yesterday,
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
			{"daily", "retry", "2 03:00", 2, "running", "2 03:20", ""},
		},
		attempts: 2, says: map[string]string{"2 03:25": ""},
	},
	{
		name: "a success since the failure",
		runs: []pastRun{
			yesterday,
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
			{"manual", "manual", "2 03:04", 1, "succeeded", "2 03:04", "2 03:05"},
		},
		says: map[string]string{"2 03:06": ""},
	},
	{
		name: "a success at the same time as the failure",
		runs: []pastRun{
			yesterday,
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
			{"manual", "manual", "2 03:01", 1, "succeeded", "2 03:01", "2 03:02"},
		},
		says: map[string]string{"2 03:06": ""},
	},
	{
		name: "a success that began later and ended before the failure",
		runs: []pastRun{
			yesterday,
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:05"},
			{"manual", "manual", "2 03:01", 1, "succeeded", "2 03:01", "2 03:02"},
		},
		says: map[string]string{"2 03:06": "retry 2 03:20"},
	},
	{
		name: "a failure of a manual run",
		runs: []pastRun{
			{"daily", "schedule", "2 03:00", 1, "succeeded", "2 03:00", "2 03:01"},
			{"manual", "manual", "2 09:00", 1, "failed", "2 09:00", "2 09:01"},
		},
		says: map[string]string{"2 09:05": ""},
	},
	{
		name: "a failure of a due time before the latest",
		runs: []pastRun{
			{"daily", "schedule", "1 03:00", 1, "failed", "1 03:00", "1 03:01"},
			{"daily", "schedule", "2 03:00", 1, "succeeded", "2 03:00", "2 03:01"},
		},
		says: map[string]string{"2 03:05": ""},
	},
	{
		name: "a failure of a schedule that was switched off since", schedules: map[string]string{"daily": "off 0 3 * * *", "noon": "0 12 * * *"},
		runs: []pastRun{
			{"noon", "schedule", "1 12:00", 1, "succeeded", "1 12:00", "1 12:01"},
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
		},
		says: map[string]string{"2 03:10": "", "2 12:20": "missed noon 2 12:00", "2 14:02": "missed noon 2 12:00, overdue"},
	},
	{
		name: "a failure of a schedule that is gone",
		runs: []pastRun{
			{"weekly", "schedule", "2 02:00", 1, "failed", "2 02:00", "2 02:02"},
			{"daily", "schedule", "1 03:00", 1, "succeeded", "1 03:00", "1 03:02"},
		},
		says: map[string]string{"2 02:05": ""},
	},
	{
		name: "two failures", schedules: map[string]string{"daily": "0 3 * * *", "early": "30 2 * * *"},
		runs: []pastRun{
			yesterday,
			{"early", "schedule", "2 02:30", 1, "failed", "2 02:30", "2 02:35"},
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:02"},
		},
		delay: time.Hour, says: map[string]string{"2 03:03": "retry 2 03:40", "2 04:05": "retry 2 04:10"},
	},
	{
		name: "the next due time comes first", schedules: map[string]string{"daily": "0 3 * * *", "noon": "0 12 * * *"},
		runs: []pastRun{
			{"noon", "schedule", "1 12:00", 1, "succeeded", "1 12:00", "1 12:01"},
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 11:45"},
		},
		says: map[string]string{"2 11:46": ""},
	},
	{
		name: "the next due time comes just after", schedules: map[string]string{"daily": "0 3 * * *", "noon": "1 12 * * *"},
		runs: []pastRun{
			{"noon", "schedule", "1 12:01", 1, "succeeded", "1 12:01", "1 12:02"},
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 11:45"},
		},
		says: map[string]string{"2 11:46": "retry 2 12:00"},
	},
	{
		name: "another due time was missed", schedules: map[string]string{"daily": "0 3 * * *", "noon": "0 12 * * *"}, delay: 9 * time.Hour,
		runs: []pastRun{
			{"noon", "schedule", "1 12:00", 1, "succeeded", "1 12:00", "1 12:01"},
			{"daily", "schedule", "2 03:00", 1, "failed", "2 03:00", "2 03:20"},
		},
		says: map[string]string{"2 12:12": "", "2 12:25": "missed noon 2 12:00"},
	},
	{
		name: "one run makes up for all", schedules: map[string]string{"daily": "0 3 * * *", "early": "5 3,4 * * *"},
		runs: []pastRun{
			{"early", "catch_up", "2 03:05", 1, "succeeded", "2 03:20", "2 03:21"},
			{"early", "schedule", "2 04:05", 1, "succeeded", "2 04:05", "2 04:06"},
		},
		says: map[string]string{"2 03:50": "", "2 04:30": "", "3 03:20": "missed daily 3 03:00", "3 03:30": "missed daily 3 03:00, missed early 3 03:05"},
	},
	{
		name: "a run under way", schedules: map[string]string{"daily": "0 3 * * *", "early": "30 2 * * *"},
		runs: []pastRun{yesterday, {"early", "schedule", "2 02:30", 1, "running", "2 02:30", ""}},
		says: map[string]string{"2 03:05": "", "2 03:25": ""},
	},
	{
		name: "a manual success instead of the due one",
		runs: []pastRun{
			{"daily", "schedule", "1 03:00", 1, "succeeded", "1 03:00", "1 03:01"},
			{"manual", "manual", "2 03:10", 1, "succeeded", "2 03:10", "2 03:11"},
		},
		says: map[string]string{"2 03:30": "missed daily 2 03:00", "3 05:11": "missed daily 3 03:00", "3 05:11:01": "missed daily 3 03:00, overdue"},
	},
	{
		name: "a failure counts as an attempt",
		runs: []pastRun{yesterday, {"daily", "catch_up", "2 03:00", 1, "failed", "2 03:10", "2 03:12"}}, attempts: -1,
		says: map[string]string{"2 03:30": ""},
	},
	{
		name: "the schedule came later", since: map[string]string{"daily": "2 03:00"}, updated: "2 02:50", created: "2 02:50",
		says: map[string]string{"2 03:30": "", "3 03:20": "missed daily 3 03:00", "3 05:00": "missed daily 3 03:00", "3 05:00:01": "missed daily 3 03:00, overdue"},
	},
	{
		name: "the schedule came a moment before", since: map[string]string{"daily": "2 02:59"}, updated: "2 02:50",
		says: map[string]string{"2 03:30": "missed daily 2 03:00"},
	},
	{
		name: "the schedule was changed by an apply", since: map[string]string{"daily": "1 00:00 was 0 4 * * *"}, updated: "2 02:00",
		says: map[string]string{"2 03:30": "missed daily 2 03:00", "3 04:00": "missed daily 3 03:00", "3 04:00:01": "missed daily 3 03:00, overdue"},
	},
	{
		name: "the schedule was changed by an apply after the due time", since: map[string]string{"daily": "1 00:00 was 0 4 * * *"}, updated: "2 03:10",
		says: map[string]string{"2 03:30": ""},
	},
	{
		name: "the schedule was changed without an apply", since: map[string]string{"daily": "1 00:00 was 0 4 * * *"},
		says: map[string]string{"2 03:30": "", "9 03:30": ""},
	},
	{
		name: "the watchdog has not noted the schedule yet", since: map[string]string{"daily": ""}, updated: "2 02:00",
		says: map[string]string{"2 03:20": "missed daily 2 03:00", "3 04:00": "missed daily 3 03:00", "3 04:00:01": "missed daily 3 03:00, overdue"},
	},
	{
		name: "of two schedules the older one counts", schedules: map[string]string{"daily": "0 3 * * *", "noon": "0 12 * * *"},
		created: "1 12:30", updated: "2 00:00", since: map[string]string{"daily": "1 00:00", "noon": "2 00:00"},
		says: map[string]string{"2 14:30": "missed daily 2 03:00, missed noon 2 12:00", "2 14:30:01": "missed daily 2 03:00, missed noon 2 12:00, overdue"},
	},
	{
		name: "nothing is ever overdue", allowed: new(time.Duration),
		says: map[string]string{"9 03:30": "missed daily 9 03:00"},
	},
	{
		name: "no schedule is enabled", schedules: map[string]string{"daily": "off 0 3 * * *"},
		says: map[string]string{"9 03:30": ""},
	},
	{
		name: "a zone", schedules: map[string]string{"daily": "0 3 * * *@America/Sao_Paulo"},
		runs: []pastRun{{"daily", "schedule", "1 06:00", 1, "succeeded", "1 06:00", "1 06:01"}},
		says: map[string]string{"2 03:30": "", "2 06:20": "missed daily 2 06:00"},
	},
}

// TestWatchdogRules proves that the status and the watchdog judge a run history
// by the same rules: when a failed attempt is repeated, which due time was missed,
// and whether a backup is overdue. It asks both about each history, the watchdog
// by its own SQL functions in transactions that are rolled back.
func TestWatchdogRules(t *testing.T) {
	t.Parallel()
	project, err := newProject(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := project.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := newSite(t.Context(), project, "auto-backup", pastTime("2 03:00"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.owner.Close)
	db, err := postgres.Open(project.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.WithoutCancel(t.Context())) })
	if err := stack.Steps(func() { s.begin(s.defaults("0 3 * * *", "UTC")) }); err != nil {
		t.Fatal(err)
	}
	for _, c := range pasts {
		t.Run(c.name, func(t *testing.T) {
			if err := stack.Steps(func() { c.happens(s) }); err != nil {
				t.Fatal(err)
			}
			for moment, says := range c.says {
				at := pastTime(moment)
				status, err := health.Read(t.Context(), onlyDatabase{db}, health.Query{ID: backup.ID{ProjectRef: project.ProjectRef, Name: s.name}, History: 20, At: at})
				if err != nil {
					t.Fatal(err)
				}
				if got := inPastWords(status); got != says {
					t.Errorf("at %s the status says %q, want %q", moment, got, says)
				}
				var does string
				if err := stack.Steps(func() { does = c.watchdog(s, at) }); err != nil {
					t.Fatal(err)
				}
				if got := newestMissed(says); does != got {
					t.Errorf("at %s the watchdog does %q, want %q", moment, does, got)
				}
			}
		})
	}
}

// onlyDatabase is a project of which nothing but the database matters.
type onlyDatabase struct{ db postgres.DB }

func (onlyDatabase) Functions(context.Context) ([]supabase.Function, error) { return nil, nil }

func (onlyDatabase) Secrets(context.Context) ([]supabase.Secret, error) { return nil, nil }

func (onlyDatabase) PublicKeys(context.Context) (supabase.PublicKeys, error) {
	return supabase.PublicKeys{}, nil
}

func (onlyDatabase) PlatformBackups(context.Context) (supabase.Backups, error) {
	return supabase.Backups{}, nil
}

func (o onlyDatabase) Query(ctx context.Context, access postgres.Access, sql string, args ...any) (json.RawMessage, error) {
	return o.db.Query(ctx, access, sql, args...)
}

// happens makes a history the project's.
func (c past) happens(s *site) {
	settings := s.defaults("0 3 * * *", "UTC")
	if c.schedules != nil {
		settings.Schedules = map[string]backup.Schedule{}
		for key, text := range c.schedules {
			settings.Schedules[key] = c.compiled(s, text)
		}
	}
	settings.Retry = backup.RetrySettings{Attempts: max(cmpZero(c.attempts, 1), 0), DelaySeconds: int64(cmpZero(c.delay, 10*time.Minute).Seconds())}
	settings.Alert.OverdueAfterSeconds = 26 * 3600
	if c.allowed != nil {
		settings.Alert.OverdueAfterSeconds = int64(c.allowed.Seconds())
	}
	document, err := json.Marshal(settings)
	s.must(err)
	s.clear()
	s.sql(`update auto_backup.settings set document = $1, created_at = $2, updated_at = $3`,
		document, pastTime(cmpZero(c.created, "1 00:00")), pastTime(cmpZero(c.updated, "1 00:00")))
	for key, schedule := range settings.Schedules {
		row, named := c.since[key]
		if !schedule.Enabled || named && row == "" {
			continue
		}
		since, former, changed := strings.Cut(cmpZero(row, "1 00:00"), " was ")
		if changed {
			schedule = c.compiled(s, former)
		}
		definition, err := json.Marshal(schedule)
		s.must(err)
		s.sql(`
			insert into auto_backup.schedules (backup, schedule, since, definition)
			select $1, $2, $3, jsonb_object_agg(e.key, e.value)
			from jsonb_each($4::jsonb) e where e.key in ('zone', 'minutes', 'hours', 'days', 'months', 'weekdays', 'days_either')`,
			s.name, key, pastTime(since), definition)
	}
	for _, r := range c.runs {
		var stopped *time.Time
		if r.stopped != "" {
			at := pastTime(r.stopped)
			stopped = &at
		}
		s.sql(`
			insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, code)
			values ($1, $2, $3, $4, $5, $6, $7, $8, case when $6 = 'failed' then 'internal' end)`,
			s.name, r.schedule, r.trigger, pastTime(r.due), r.attempt, r.state, pastTime(r.started), stopped)
	}
}

func (past) compiled(s *site, text string) backup.Schedule {
	cron, off := strings.CutPrefix(text, "off ")
	cron, zone, _ := strings.Cut(cron, "@")
	compiled, err := backup.CompileSchedule(cron, nil, cmpZero(zone, "UTC"), !off, s.due)
	s.must(err)
	return compiled
}

func cmpZero[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

var missedPattern = regexp.MustCompile(`^The schedule (\S+) was due at (\S+),`)

// inPastWords returns what a status says, in the notation of the table.
func inPastWords(status health.Status) string {
	var words []string
	if !status.RetryAt.IsZero() {
		words = append(words, "retry "+pastText(status.RetryAt))
	}
	for _, p := range status.Problems {
		switch p.Code {
		case "due_missed":
			match := missedPattern.FindStringSubmatch(p.Message)
			due, err := time.Parse(time.RFC3339, match[2])
			if err != nil {
				return err.Error()
			}
			words = append(words, "missed "+match[1]+" "+pastText(due))
		case "overdue":
			words = append(words, "overdue")
		}
	}
	return strings.Join(words, ", ")
}

// newestMissed leaves of the missed due times the newest one, for which the
// watchdog starts a run.
func newestMissed(says string) string {
	words := strings.Split(says, ", ")
	missed := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.HasPrefix(w, "missed ") })
	if len(missed) < 2 {
		return says
	}
	newest := slices.MaxFunc(missed, func(x, y string) int {
		return strings.Compare(x[strings.LastIndex(x, " "):], y[strings.LastIndex(y, " "):])
	})
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "missed ") && w != newest }), ", ")
}

// watchdog returns what the watchdog does at a time, in the notation of the table.
func (c past) watchdog(s *site, at time.Time) string {
	var words []string
	rolledBack := func(do func(tx pgx.Tx) error) {
		enough := errors.New("enough")
		err := pgx.BeginFunc(s.ctx, s.owner, func(tx pgx.Tx) error { return errors.Join(do(tx), enough) })
		if err.Error() != enough.Error() {
			s.must(err)
		}
	}
	rolledBack(func(tx pgx.Tx) error {
		if _, err := tx.Exec(s.ctx, firstRetry); err != nil {
			return err
		}
		var retry *time.Time
		if err := tx.QueryRow(s.ctx, `select pg_temp.first_retry($1, $2)`, s.name, at).Scan(&retry); err != nil {
			return err
		}
		if retry != nil {
			words = append(words, "retry "+pastText(*retry))
		}
		return nil
	})
	rolledBack(func(tx pgx.Tx) error {
		// The status leaves the watchdog the time of one look, and some more.
		var started struct {
			Schedule string    `json:"schedule"`
			DueAt    time.Time `json:"due_at"`
		}
		if err := tx.QueryRow(s.ctx, `select auto_backup.catch_up($1, $2)`, s.name, at.Add(-15*time.Minute)).Scan(&started); err != nil {
			return err
		}
		if started.Schedule != "" {
			words = append(words, fmt.Sprintf("missed %s %s", started.Schedule, pastText(started.DueAt)))
		}
		return nil
	})
	rolledBack(func(tx pgx.Tx) error {
		var overdue bool
		if _, err := tx.Exec(s.ctx, `select auto_backup.catch_up($1, $2)`, s.name, at); err != nil {
			return err
		}
		if err := tx.QueryRow(s.ctx, `select auto_backup.overdue($1, $2) ? 'incident_id'`, s.name, at).Scan(&overdue); err != nil {
			return err
		}
		if overdue {
			words = append(words, "overdue")
		}
		return nil
	})
	return strings.Join(words, ", ")
}

// firstRetry goes through the next three hours minute by minute: jobs tick when
// they are due, and the watchdog looks every ten minutes. It returns the time
// at which an attempt is repeated; whatever else is started succeeds at once.
const firstRetry = `
create function pg_temp.first_retry(backup text, at timestamptz) returns timestamptz language plpgsql as $$
declare
    minute timestamptz := date_trunc('minute', at + interval '59.999999 seconds');
    plan record;
begin
    while minute <= at + interval '3 hours' loop
        for plan in
            select e.key, e.value from auto_backup.settings s, jsonb_each(s.document -> 'schedules') e
            where (e.value ->> 'enabled')::boolean
        loop
            if exists (select from auto_backup.due_times(plan.value, minute - interval '1 minute', minute)) then
                perform auto_backup.dispatch(backup, plan.key, minute);
            end if;
        end loop;
        if date_part('minute', minute)::integer % 10 = 0 then
            perform auto_backup.catch_up(backup, minute);
            perform auto_backup.retry(backup, minute);
            if exists (select from auto_backup.runs r where r.trigger = 'retry' and r.requested_at = minute) then
                return minute;
            end if;
        end if;
        update auto_backup.runs r set state = 'succeeded', finished_at = minute + interval '30 seconds'
        where r.state = 'requested' and r.requested_at = minute;
        minute := minute + interval '1 minute';
    end loop;
    return null;
end
$$`
