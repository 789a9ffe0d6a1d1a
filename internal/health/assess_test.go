package health

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/checks"
	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
)

// absent takes away all that the provider has installed.
func absent(p *project) {
	p.own, p.database.Installation, p.database.Functions = facts.OfBackup{}, nil, nil
	p.database.Jobs, p.functions = []backup.Job{}, nil
}

const notInstalled = `Project ` + ref + ` has no automatic backup "auto-backup": there is neither a row of it in auto_backup.settings nor a job that makes one.`

// nothing is the status of a project without a backup.
func nothing(message string) func(*Status) {
	return func(s *Status) {
		*s = Status{ID: s.ID, Installation: InstallationNone, CheckedAt: s.CheckedAt, Summary: s.Summary}
		s.is(checks.NotInstalled, problemOf("not_installed", checks.NotInstalled, message))
	}
}

// TestInstallation proves how an installation is recognised: by its settings, or by
// a job if those are gone or cannot be read; and what is said when there is none,
// or its settings are damaged.
func TestInstallation(t *testing.T) {
	t.Parallel()
	runCases(t, []aCase{
		{name: "healthy"},
		{name: "nothing", change: absent, want: nothing(notInstalled)},
		{name: "another backup's job", change: func(p *project) {
			absent(p)
			p.database.Jobs = []backup.Job{{Name: "nightly-daily", Command: "select auto_backup.dispatch('nightly', 'daily')", Active: true, Username: "postgres"}}
		}, want: nothing(notInstalled)},
		{name: "the function is left", change: func(p *project) {
			functions := p.functions
			absent(p)
			p.functions = functions
		}, want: nothing(notInstalled + " An Edge Function auto-backup is deployed, but nothing in the database calls it.")},
		{name: "a function that was removed is left", change: func(p *project) {
			functions := p.functions
			absent(p)
			functions[0].Status = "REMOVED"
			p.functions = functions
		}, want: nothing(notInstalled)},
		{name: "jobs may be hidden", change: func(p *project) {
			absent(p)
			p.database.Relations["cron.job"], p.database.Server.User = facts.Filtered, "clerk"
		}, want: nothing(notInstalled + " The role clerk may not read all of cron.job, so there may be a job all the same.")},
		{name: "the settings are hidden", change: func(p *project) {
			p.own.Settings = nil
			p.database.Relations["auto_backup.settings"] = facts.Forbidden
		}, want: func(s *Status) {
			s.is(checks.Failing, found("not_readable", checks.Failing))
			s.NextRuns = nil
		}},
		{name: "the settings are gone", change: func(p *project) { p.own.Settings = nil }, want: func(s *Status) {
			s.is(checks.Failing, problemOf("settings_missing", checks.Failing, `Jobs of backup "auto-backup" exist, but auto_backup.settings has no row of it, so each of their ticks fails.`))
			s.NextRuns = nil
		}},
		{name: "the table of settings is gone", change: func(p *project) {
			p.own.Settings = nil
			p.database.Relations["auto_backup.settings"] = facts.Missing
		}, want: func(s *Status) {
			s.is(checks.Failing, found("dispatcher_damaged", checks.Failing))
			s.NextRuns = nil
		}},
		{name: "the settings have a wrong type", change: func(p *project) { p.own.Settings.Document = json.RawMessage(`{"schedules": 5}`) }, want: func(s *Status) {
			s.is(checks.Failing, problemOf("settings_unreadable", checks.Failing,
				`The settings of backup "auto-backup" in auto_backup.settings cannot be read: schedules has a value of type number.`))
			s.NextRuns = nil
		}},
		{name: "the settings are a text", change: func(p *project) { p.own.Settings.Document = json.RawMessage(`"spec"`) }, want: func(s *Status) {
			s.is(checks.Failing, problemOf("settings_unreadable", checks.Failing,
				`The settings of backup "auto-backup" in auto_backup.settings cannot be read: the document has a value of type string.`))
			s.NextRuns = nil
		}},
	})
}

// TestChecks proves that the checks' findings become problems, with the state that
// they look at: the settings, the tokens, the secrets, the functions, the clocks.
func TestChecks(t *testing.T) {
	t.Parallel()
	finds := func(means checks.Condition, codes ...string) func(*Status) {
		return func(s *Status) {
			var problems []checks.Finding
			for _, code := range codes {
				problems = append(problems, found(code, means))
			}
			s.is(means, problems...)
		}
	}
	runCases(t, []aCase{
		{name: "hidden rows", change: func(p *project) { p.database.Relations["vault.secrets"] = facts.Filtered }, want: finds(checks.Healthy, "not_readable")},
		{name: "locked runs", change: func(p *project) { p.database.Relations["auto_backup.runs"] = facts.Locked }, want: finds(checks.Failing, "not_readable")},
		{name: "a standby", change: func(p *project) { p.database.Server.InRecovery = true }, want: finds(checks.SchedulerDown, "database_read_only")},
		{name: "no pg_net", change: func(p *project) { delete(p.database.Extensions, "pg_net") }, want: finds(checks.Failing, "extension_missing")},
		{name: "unfinished", change: func(p *project) { p.own.Settings.Unfinished = true }, want: finds(checks.Failing, "unfinished")},
		{name: "a function of the dispatcher is gone", change: func(p *project) { delete(p.database.Functions, "retry") }, want: finds(checks.Failing, "dispatcher_damaged")},
		{name: "another version of the dispatcher", change: func(p *project) {
			p.database.Installation.Version = "0.9.0+00000000"
			clear(p.database.Functions)
		}},
		{name: "no scheduler", change: func(p *project) { p.database.Processes.PgCron = false }, want: finds(checks.SchedulerDown, "scheduler_absent")},
		{name: "no worker", change: func(p *project) { p.database.Processes.PgNet = false }, want: finds(checks.Failing, "pg_net_down")},
		{name: "no job", change: func(p *project) { p.database.Jobs = []backup.Job{} }, want: func(s *Status) {
			s.is(checks.SchedulerDown, found("job_missing", checks.SchedulerDown), found("job_missing", checks.Late))
		}},
		{name: "a silent watchdog", change: func(p *project) { p.own.Watchdog.At = at("11:29") }, want: func(s *Status) {
			s.WatchedAt = at("11:29")
			s.is(checks.SchedulerDown, found("watchdog_silent", checks.SchedulerDown))
		}},
		{name: "a watchdog that has never run", change: func(p *project) { p.own.Watchdog = nil }, want: func(s *Status) {
			s.WatchedAt = time.Time{}
			s.is(checks.SchedulerDown, found("watchdog_silent", checks.SchedulerDown))
		}},
		{name: "no token in the vault", change: func(p *project) {
			p.own.TokenDigest = nil
			delete(p.own.Vault, "auto-backup/token")
		}, want: finds(checks.Failing, "vault_token_missing")},
		{name: "another token", change: func(p *project) { p.secrets[0].Digest = "e" }, want: finds(checks.Failing, "token_mismatch")},
		{name: "the next token", change: func(p *project) {
			p.secrets[0].Digest = "e"
			p.secrets = append(p.secrets, supabaseSecret("AUTO_BACKUP_TOKEN_NEXT", "d"))
		}},
		{name: "no token of the function", change: func(p *project) { p.secrets = p.secrets[1:] }, want: finds(checks.Failing, "function_token_missing")},
		{name: "no secret", change: func(p *project) { p.settings.Secrets = []string{"REPORT_KEY"} }, want: finds(checks.Failing, "secret_missing")},
		{name: "no function", change: func(p *project) { p.functions = p.functions[1:] }, want: finds(checks.Failing, "function_missing")},
		{name: "another function", change: func(p *project) { p.own.Settings.FunctionID = "e" }, want: finds(checks.Healthy, "function_replaced")},
		{name: "another address", change: func(p *project) { p.query.FunctionURL = "https://y" }, want: finds(checks.Healthy, "function_url")},
		{name: "no log table", change: func(p *project) { delete(p.database.Tables, "system_logs") }, want: finds(checks.Failing, "table_missing")},
		{name: "a CHECK", change: func(p *project) { p.database.LogConstraints[0].Admits = false }, want: finds(checks.Failing, "log_refused")},
		{name: "no SQL function", change: func(p *project) { p.database.Routines = nil }, want: finds(checks.Failing, "rpc_missing")},
		{name: "the last backup is gone", change: func(p *project) { p.own.StoredBackups.HasLast = ptr(false) }, want: finds(checks.Failing, "stored_backup_missing")},
		{name: "no alert function", change: func(p *project) { p.functions = p.functions[:1] }, want: finds(checks.Healthy, "alert_function_missing")},
		{name: "another clock", change: func(p *project) { p.query.Clock = now.Add(6 * time.Minute) }, want: finds(checks.Healthy, "clock_skew")},
		{name: "the SQL function of another job", change: func(p *project) {
			p.settings.Function.RPC = "my_backup"
			p.database.Jobs = append(jobsOf(p), backup.Job{ID: 9, Name: "mine", Schedule: "0 2 * * *", Command: "select my_backup()", Active: true, Username: "postgres"})
		}, want: finds(checks.Healthy, "other_job")},
		{name: "settings that cannot be read hide what depends on them", change: func(p *project) {
			p.own.Settings.Document = json.RawMessage(`[]`)
			p.functions, p.database.Routines, p.database.Server.InRecovery = nil, nil, true
		}, want: func(s *Status) {
			s.is(checks.SchedulerDown, found("database_read_only", checks.SchedulerDown), found("settings_unreadable", checks.Failing))
			s.NextRuns = nil
		}},
	})
}

// TestRequire proves that a failed drill makes a backup unhealthy and a failed copy does
// not, unless the query says what is required; and that the destinations are returned.
func TestRequire(t *testing.T) {
	t.Parallel()
	failed := func(p *project) {
		p.settings.Drill = &backup.DrillSettings{}
		p.own.Drills = &facts.Drills{Result: &facts.Drill{State: facts.DrillFailed, Code: "drill_check"}}
		p.settings.Offsite = &offsite.Settings{Destinations: map[string]offsite.Destination{"r2": {}}}
		p.own.Offsite = map[string]offsite.Copies{"r2": {Failed: &offsite.Export{Code: "offsite_denied"}}}
	}
	for name, c := range map[string]struct {
		require []Requirement
		means   map[string]checks.Condition
	}{
		"by default": {nil, map[string]checks.Condition{"drill_failed": checks.Failing, "offsite_denied": checks.Healthy}},
		"all": {
			[]Requirement{RequireBackup, RequireDrill, RequireOffsite},
			map[string]checks.Condition{"drill_failed": checks.Failing, "offsite_denied": checks.Failing},
		},
		"copies":     {[]Requirement{RequireBackup, RequireOffsite}, map[string]checks.Condition{"drill_failed": checks.Healthy, "offsite_denied": checks.Failing}},
		"the backup": {[]Requirement{RequireBackup}, map[string]checks.Condition{"drill_failed": checks.Healthy, "offsite_denied": checks.Healthy}},
	} {
		p := healthy(t)
		failed(p)
		p.query.Require = c.require
		got := p.assess(t)
		means := map[string]checks.Condition{}
		for _, f := range got.Problems {
			if strings.HasPrefix(f.Code, "drill_") || strings.HasPrefix(f.Code, "offsite_") {
				means[f.Code] = f.Condition
			}
		}
		if !maps.Equal(means, c.means) || got.Healthy() != (len(c.require) == 1) || got.Offsite["r2"].State != offsite.StateFailing {
			t.Errorf("%s: it is %s with %v, and %+v", name, got.Condition, means, got.Offsite)
		}
	}
}

// TestConclusion proves how problems are put together: the worst first, causes
// before their effects, none twice, and the condition and the sentence of the
// worst.
func TestConclusion(t *testing.T) {
	t.Parallel()
	runCases(t, []aCase{
		{name: "the worst first", change: func(p *project) {
			p.query.Clock = now.Add(time.Hour)
			p.functions = nil
			p.own.Settings.Unfinished = true
			p.own.Watchdog.At = at("11:00")
		}, want: func(s *Status) {
			s.WatchedAt = at("11:00")
			s.is(checks.SchedulerDown, found("watchdog_silent", checks.SchedulerDown), found("unfinished", checks.Failing), found("function_missing", checks.Failing),
				found("alert_function_missing", checks.Healthy), found("clock_skew", checks.Healthy))
		}},
		{name: "remarks leave it healthy", change: func(p *project) {
			p.query.Clock = now.Add(time.Hour)
			p.functions = p.functions[:1]
		}, want: func(s *Status) {
			s.is(checks.Healthy, found("alert_function_missing", checks.Healthy), found("clock_skew", checks.Healthy))
		}},
		{name: "of one kind", change: func(p *project) {
			delete(p.database.Extensions, "pg_net")
			delete(p.database.Extensions, "supabase_vault")
		}, want: func(s *Status) {
			s.is(checks.Failing, found("extension_missing", checks.Failing), found("extension_missing", checks.Failing))
		}},
		{name: "one more problem", change: func(p *project) {
			p.query.Clock = now.Add(time.Hour)
			p.own.Settings.Unfinished = true
		}, want: func(s *Status) {
			s.is(checks.Failing, found("unfinished", checks.Failing), found("clock_skew", checks.Healthy))
			s.Summary = lead + `is failing: the installation of backup "auto-backup" was begun and not finished (and 1 more problem)` + tomorrow
		}},
		{name: "no number of records", change: func(p *project) { p.own.LastSuccess.Records = nil }, want: func(s *Status) {
			s.Summary = lead + "is healthy: the last one succeeded at 2026-11-23 03:00 (UTC-03:00)" + tomorrow
		}},
		{name: "asked for another time", change: func(p *project) {
			p.query.At, p.query.Clock = at("12:10"), time.Time{}
		}, want: func(s *Status) {
			s.CheckedAt = at("12:10")
			s.Summary = lead + "is healthy: the last one succeeded at 2026-11-23 03:00 (UTC-03:00) with 321 records" + tomorrow
		}},
		{name: "one entry", change: func(p *project) { p.query.History = 1 }, want: func(s *Status) { s.History = s.History[:1] }},
		{name: "no entry", change: func(p *project) { p.query.History = 0 }, want: func(s *Status) { s.History = nil }},
		{name: "less than no entry", change: func(p *project) { p.query.History = -1 }, want: func(s *Status) { s.History = nil }},
		{name: "more entries than there are", change: func(p *project) { p.query.History = 9 }},
		{name: "no stored backups", change: func(p *project) {
			p.own.StoredBackups = nil
			p.settings.Function.RPC = "my_backup"
			p.database.Routines[0].Signature = "public.my_backup()"
		}},
	})
}

// TestEveryCode proves that every code which can arise in a status is one of a
// check or one of this package's own, which the tables of these tests bring about,
// and that every condition that a problem of this package's means is one that
// codes.json has.
func TestEveryCode(t *testing.T) {
	t.Parallel()
	var known []string
	for _, c := range checks.Registry() {
		if c.Asked != "" {
			known = append(known, c.Code)
		}
	}
	means := map[string][]checks.Condition{
		"backup_failed": {checks.Failing}, "disk_nearly_full": {checks.Healthy}, "drill_stale": {checks.Healthy}, "due_missed": {checks.Late}, "failed": {checks.Failing}, "job_inactive": {checks.Late, checks.Healthy},
		"legacy": {checks.Healthy}, "log_not_written": {checks.Healthy}, "never_ran": {checks.NeverRan}, "no_backup": {checks.Failing}, "no_platform_backups": {checks.Healthy}, "no_schedule": {checks.Healthy},
		"not_installed": {checks.NotInstalled}, "not_readable": {checks.Failing}, "overdue": {checks.Late}, "request_refused": {checks.Healthy}, "run_stuck": {checks.Failing},
		"schedule_unreadable": {checks.Failing}, "settings_missing": {checks.Failing}, "settings_unreadable": {checks.Failing}, "tick_failed": {checks.Failing}, "tick_missed": {checks.Healthy},
	}
	for code, conditions := range means {
		entry, ok := codes.Find(code)
		if !ok || !entry.ArisesAt(codes.Status) {
			t.Errorf("codes.json does not say that %s arises in a status", code)
		}
		for _, condition := range conditions {
			if _, also := entry.Also[string(condition)]; !also && entry.Condition != string(condition) {
				t.Errorf("codes.json does not say that %s can mean %s", code, condition)
			}
		}
		known = append(known, code)
	}
	for code, entry := range codes.All() {
		if entry.ArisesAt(codes.Status) && !slices.Contains(known, code) {
			t.Errorf("nothing brings about %s", code)
		}
	}
	if healthyWith(checks.Late).Healthy() || healthyWith(checks.NeverRan).Healthy() || !(Status{Condition: checks.NeverRan, Installation: InstallationProvider}).Healthy() || !healthyWith(checks.Running).Healthy() || !healthyWith(checks.Healthy).Healthy() {
		t.Error("the wrong conditions are healthy")
	}
	if len(inWords) != len(checks.Conditions) {
		t.Error("a condition has no words")
	}
}

func healthyWith(condition checks.Condition) Status { return Status{Condition: condition} }
