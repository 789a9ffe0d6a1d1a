package health

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

const (
	// watchdogInterval is the time between two ticks of the watchdog, by
	// backup.WatchdogSchedule.
	watchdogInterval = 10 * time.Minute
	// watchdogPatience is how long the watchdog may be silent.
	watchdogPatience = 3 * watchdogInterval
	// schedulerPatience is how long a scheduler that cannot be seen counts as
	// running after a tick.
	schedulerPatience = watchdogInterval + 5*time.Minute
	// duePatience is how long after a due time either its job or the watchdog has
	// started a run.
	duePatience = payload.TickPatience + watchdogInterval + 5*time.Minute
	// runPatience is how long a run may be under way until the watchdog closes it.
	runPatience = payload.AnswerPatience + payload.RunPatience + watchdogInterval + 6*time.Minute
	// clockPatience is how far two clocks may be apart.
	clockPatience = 5 * time.Minute
	// legacyPatience is how late a backup may be whose schedule cannot be read.
	legacyPatience = 26 * time.Hour
)

const (
	applyRemedy   = "Run `terraform apply`."
	launcherTrace = "Look at the latest rows of `cron.job_run_details` and for `pg_cron` in the Postgres logs; restarting the database in the project's settings starts the scheduler again."
)

// assessment is a status in the making.
type assessment struct {
	Status
	found     statusDocument
	query     Query
	state     backup.State
	spec      backup.Spec
	functions []supabase.Function
	now       time.Time
	// underWay says that a run is under way, and not for too long.
	underWay bool
}

// assess judges what was read of a backup. It reads nothing itself.
func assess(q Query, d statusDocument, functions []supabase.Function, secrets []supabase.Secret) Status {
	id, now := q.ID, d.Server.Now
	if !q.At.IsZero() {
		now = q.At
	}
	a := &assessment{
		Status: Status{ID: id, CheckedAt: now, Generations: d.Generations},
		found:  d, query: q, functions: functions, now: now,
		state: backup.State{ID: id, Secrets: map[string]string{}},
	}
	for _, secret := range secrets {
		a.state.Secrets[secret.Name] = secret.Digest
	}
	a.state.Token.Function = a.state.Secrets[id.Name.TokenSecret()]
	a.state.Token.Next = a.state.Secrets[id.Name.NextTokenSecret()]
	backup.Observation{ProjectObservation: d.ProjectObservation, BackupObservation: d.BackupObservation}.Fill(&a.state, backup.Known{})

	legacy := a.legacyJobs()
	switch {
	case d.Settings != nil || a.hidden("auto_backup.settings") || a.dispatched():
		a.Installation = InstallationProvider
		a.provider(legacy)
	case len(legacy) > 0:
		a.Installation = InstallationLegacy
		a.legacy(legacy)
	default:
		a.Installation = InstallationNone
		a.absent()
	}
	a.conclude()
	return a.Status
}

func (a *assessment) add(code string, means Condition, remedy, format string, args ...any) {
	a.Problems = append(a.Problems, Problem{Code: code, Means: means, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// report adds a problem, whose remedy is that of its code.
func (a *assessment) report(code string, means Condition, format string, args ...any) {
	a.Problems = append(a.Problems, problem(code, "", means, fmt.Sprintf(format, args...)))
}

func problem(code, sqlstate string, means Condition, message string) Problem {
	return Problem{Code: code, Means: means, Message: message, Remedy: codes.Lookup(code, sqlstate).Remedy}
}

// remark adds what does not keep backups from being made.
func (a *assessment) remark(code, remedy, format string, args ...any) {
	a.add(code, ConditionHealthy, remedy, format, args...)
}

// wrong reports whether anything was found that is worse than a remark.
func (a *assessment) wrong() bool {
	return slices.ContainsFunc(a.Problems, func(p Problem) bool { return p.Means.rank() < ConditionNeverRan.rank() })
}

// hidden reports whether a table is there but cannot be read.
func (a *assessment) hidden(relation string) bool {
	switch a.found.Relations[relation] {
	case "readable", "missing", "":
		return false
	}
	return true
}

func (a *assessment) readable(relation string) bool { return a.found.Relations[relation] == "readable" }

// dispatched reports whether a job calls the dispatcher for this backup.
func (a *assessment) dispatched() bool {
	return slices.ContainsFunc(a.found.Jobs, func(j backup.Job) bool { return a.dispatches(j) == string(a.ID.Name) })
}

var dispatchPattern = regexp.MustCompile(`auto_backup\s*\.\s*(?:dispatch|watch)\s*\(\s*'([^']*)'`)

// absent is the status of a backup that is not there.
func (a *assessment) absent() {
	remains := ""
	if f := a.function(a.ID.Name.Slug()); f != nil {
		remains = fmt.Sprintf(" An Edge Function %s is deployed, but nothing in the database calls it.", a.ID.Name.Slug())
	}
	if a.hidden("cron.job") {
		remains += fmt.Sprintf(" The role %s may not read all of cron.job, so a job could be there all the same.", a.found.Server.User)
	}
	a.add("not_installed", ConditionNotInstalled,
		"Add `resource \"aimindset_auto_backup\" \"this\" {}` and apply, or correct `name` and `project_ref`.",
		"Project %s has no automatic backup %q: there is neither a row of it in auto_backup.settings nor a job that makes one.%s",
		a.ID.ProjectRef, a.ID.Name, remains)
}

// provider is the status of a backup that the dispatcher makes.
func (a *assessment) provider(legacy []backup.Job) {
	a.LastSuccess, a.Failures = a.found.LastSuccess, a.found.Failures
	if at := slices.IndexFunc(a.found.History, func(r history.Run) bool { return r.ID != "" }); at >= 0 {
		a.LastRun = &a.found.History[at]
	}
	a.History = a.found.History[:min(len(a.found.History), max(a.query.History, 0))]
	if a.found.Watchdog != nil {
		a.WatchedAt = a.found.Watchdog.At
	}
	a.relations()
	a.extensions()
	var broken error
	if a.found.Settings != nil {
		// What a look at an installation leaves out, nobody can work with.
		broken = json.Unmarshal(a.found.Settings.Document, &backup.Settings{})
	}
	if broken != nil {
		a.add("settings_unreadable", ConditionFailing, applyRemedy, "The settings of backup %q in auto_backup.settings cannot be read: %v.", a.ID.Name, broken)
		a.state.Settings = nil
	} else if a.found.Settings == nil && a.readable("auto_backup.settings") {
		a.add("settings_missing", ConditionFailing, applyRemedy,
			"Jobs of backup %q are there, but auto_backup.settings has no row of it, so each of their ticks fails.", a.ID.Name)
	}
	a.dispatcher()
	if a.state.Settings != nil {
		a.spec = backup.Spec{ID: a.ID, Settings: *a.state.Settings}
		a.scheduler()
		a.jobs(legacy)
		a.watchdog()
		a.token()
		a.functionOf()
		a.application()
		a.alerts()
		plans := a.plans()
		a.nextRuns(plans)
		a.runs(plans)
		a.dueTimes(plans)
	}
	a.clocks()
}

// conclude finds the condition and says it in one sentence.
func (a *assessment) conclude() {
	a.Condition = ConditionHealthy
	if a.underWay {
		a.Condition = ConditionRunning
	}
	var kept []Problem
	for _, p := range a.Problems {
		if p.Means.rank() < a.Condition.rank() {
			a.Condition = p.Means
		}
		same := func(other Problem) bool {
			return other.Code == p.Code && other.Means == p.Means && other.Message == p.Message
		}
		if !slices.ContainsFunc(kept, same) {
			kept = append(kept, p)
		}
	}
	slices.SortStableFunc(kept, func(x, y Problem) int { return cmp.Compare(x.Means.rank(), y.Means.rank()) })
	a.Problems = kept
	a.Summary = a.summary()
}
