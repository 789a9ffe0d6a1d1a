package checks

import (
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/drill"
	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
	"github.com/aimindset/terraform-provider-aimindset/internal/history"
	"github.com/aimindset/terraform-provider-aimindset/internal/retention"
	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
)

func parameter(name, value string) func(*Subject) {
	return func(s *Subject) { s.Parameters[name] = value }
}

func relation(table string, state facts.State) func(*Subject) {
	return func(s *Subject) { s.Relations[table] = state }
}

func roleParameter(set ...facts.RoleParameter) func(*Subject) {
	return func(s *Subject) { s.RoleParameters = set }
}

func table(name string, change func(*facts.Table)) func(*Subject) {
	return func(s *Subject) { s.table(name, change) }
}

func column(table, name string, change func(*facts.Column)) func(*Subject) {
	return func(s *Subject) { s.column(table, name, change) }
}

func routine(change func(*facts.Routine)) func(*Subject) {
	return func(s *Subject) { change(&s.Routines[0]) }
}

func extension(name string, change func(*facts.Extension)) func(*Subject) {
	return func(s *Subject) { s.available(name, change) }
}

func alertSettings(change func(*backup.AlertSettings)) func(*Subject) {
	return func(s *Subject) { change(&s.Spec.Settings.Alert) }
}

// keys are the digests of the vault's keys and those of the project's, of which the
// legacy one is "legacy".
func keys(vault string, project ...string) func(*Subject) {
	return func(s *Subject) {
		s.State.AlertKey.Vault = vault
		s.State.AlertKey.Project, s.State.AlertKey.Legacy = append([]string{}, project...), "legacy"
	}
}

func sendsKey(s *Subject) { s.Spec.Settings.Function.SendKey = true }

func edge(slug, status string) func(*Subject) {
	return func(s *Subject) {
		for i := range s.Edge {
			if s.Edge[i].Slug == slug {
				s.Edge[i].Status = status
			}
		}
	}
}

func verifying(table string) func(*Subject) {
	return func(s *Subject) {
		s.Spec.Settings.Function.VerifyTable = &table
		s.Tables["copies"] = facts.Table{Kind: "r", Columns: []facts.Column{{Name: "backup_id", Base: "uuid", Rights: "S"}}}
	}
}

func all(changes ...func(*Subject)) func(*Subject) {
	return func(s *Subject) {
		for _, change := range changes {
			change(s)
		}
	}
}

func renamed(e *facts.Column) { e.Name = "was" }

// foreign is a job of somebody else.
func foreign(command string, active bool) func(*Subject) {
	return func(s *Subject) {
		s.Jobs = append(s.Jobs, backup.Job{ID: 99, Name: "nightly", Schedule: "0 2 * * *", Command: command, Active: active, Database: "postgres", Username: "somebody"})
	}
}

// otherRole is a job of another role with the name of the daily one.
func otherRole(s *Subject) {
	job := *s.job("daily")
	job.ID, job.Username = 99, "somebody"
	s.Jobs = append(s.Jobs, job)
}

func without(key string) func(*Subject) {
	return func(s *Subject) { s.job(key).Name = "gone" }
}

func failedTick(key string, at time.Time) func(*Subject) {
	return func(s *Subject) {
		s.Ticks = map[int64]facts.Tick{s.job(key).ID: {Status: "failed", Message: "\nERROR:  no such function.\nCONTEXT: x", At: at}}
	}
}

func silent(s *Subject) { s.Watchdog.At = now.Add(-31 * time.Minute) }

// schedulesAt plans schedules "a", "b" and so on.
func schedulesAt(crons ...string) func(*Subject) {
	return func(s *Subject) {
		s.Spec.Settings.Schedules = map[string]backup.Schedule{}
		for i, cron := range crons {
			schedule, err := backup.CompileSchedule(cron, nil, "UTC", true, now)
			if err != nil {
				panic(err)
			}
			s.Spec.Settings.Schedules[string(rune('a'+i))] = schedule
		}
	}
}

func policies(commands string) func(*Subject) {
	return func(s *Subject) {
		s.Roles["service_role"] = facts.Role{UsesPublic: true}
		s.table("backup_logs", func(t *facts.Table) { t.RLS, t.Policies = true, &commands })
	}
}

// examples are those of each check, by its code.
func examples() map[string][]example {
	const onStandby = "default_transaction_read_only"
	on := facts.RoleParameter{Database: true, Name: onStandby, Value: "on"}
	kyiv := "America/Coyhaique"
	return map[string][]example{
		"not_readable": {
			{what: "missing", change: relation("vault.secrets", facts.Missing)},
			{what: "altered", change: relation("vault.secrets", facts.Altered)},
			{what: "forbidden", mode: asked, change: relation("vault.secrets", facts.Forbidden), says: "What vault.secrets would say is not known, because the role postgres may not read it", remedy: "supabase_read_only_user"},
			{what: "filtered", mode: asked, change: relation("cron.job", facts.Filtered), says: "row level security hides rows from the role postgres"},
			{what: "locked", change: relation("public.backup_logs", facts.Locked), says: "has locked it", remedy: "pg_stat_activity"},
			{what: "locked by a session", change: all(relation("public.backup_logs", facts.Locked), func(s *Subject) {
				s.Locks = map[string]facts.LockHolder{"public.backup_logs": {Process: 4711, Role: "authenticated", Application: "a\u202epp", State: "idle in transaction", Since: now}}
			}), says: "public.backup_logs is locked by process 4711 of role authenticated (app, idle in transaction since 2026-11-23T12:00:00Z)."},
			{what: "the settings", mode: asked, change: relation("auto_backup.settings", facts.Forbidden), says: "auto_backup.settings", condition: Failing},
			{what: "the runs", mode: asked, change: relation("auto_backup.runs", facts.Filtered), says: "auto_backup.runs", condition: Failing},
		},
		"database_read_only": {
			{what: "a standby", change: func(s *Subject) { s.Server.InRecovery = true }, says: "is a standby in recovery", remedy: "primary"},
			{what: "by the configuration", change: parameter(onStandby, "on"), says: "is in read-only mode", remedy: "disk"},
			{what: "by the database", change: roleParameter(on), says: "is in read-only mode"},
			{what: "the jobs' owner may write", change: roleParameter(on, facts.RoleParameter{Role: "postgres", Name: onStandby, Value: "off"})},
			{what: "in this database he may not", change: roleParameter(on, facts.RoleParameter{Role: "postgres", Database: true, Name: onStandby, Value: "true"}, facts.RoleParameter{Role: "postgres", Name: onStandby, Value: "off"}), says: "is in read-only mode"},
			{what: "another role may not write", change: roleParameter(facts.RoleParameter{Role: "authenticator", Name: onStandby, Value: "on"})},
		},
		"server_old": {
			{what: "14", change: func(s *Subject) { s.Server.Version = 140_019 }, says: "is PostgreSQL 14", remedy: "Upgrade"},
			{what: "the oldest", change: func(s *Subject) { s.Server.Version = 150_000 }},
		},
		"role_missing": {
			{what: "postgres", change: func(s *Subject) { delete(s.Roles, "postgres") }, says: "The role postgres does not exist", remedy: "create role postgres"},
			{what: "service_role", change: func(s *Subject) { delete(s.Roles, "service_role") }, says: "The role service_role does not exist", remedy: "create role service_role"},
			{what: "a reader", change: func(s *Subject) { s.Roles["reader"] = facts.Role{} }},
		},
		"connection_role": {
			{what: "the superuser", change: func(s *Subject) { s.Server.User = "supabase_admin" }, says: "is made as role supabase_admin", remedy: "database_url"},
			{what: "a reader", change: func(s *Subject) { s.Server.User, s.Server.Writer = "reader", false }},
		},
		"schema_closed": {
			{what: "of another role", change: func(s *Subject) { s.OwnSchema = &facts.OwnSchema{Owner: "somebody"} }, says: "The schema auto_backup belongs to role somebody", remedy: "owner to postgres"},
			{what: "no right to create it", change: func(s *Subject) { s.OwnSchema = nil; s.Roles["postgres"] = facts.Role{} }, says: "may not create a schema", remedy: "grant create on database postgres to postgres"},
			{what: "to be created", change: func(s *Subject) { s.OwnSchema = nil }},
			{what: "no role postgres", change: func(s *Subject) { s.OwnSchema = nil; delete(s.Roles, "postgres") }},
		},
		"extension_unavailable": {
			{what: "not there", change: func(s *Subject) { delete(s.Available, "pg_net") }, says: "pg_net is not available", remedy: "shared_preload_libraries"},
			{what: "not created yet", change: extension("supabase_vault", func(e *facts.Extension) { e.Installed = "" })},
			{what: "not loaded", change: all(extension("pg_cron", func(e *facts.Extension) { e.Installed = "" }), parameter("shared_preload_libraries", "pg_net")), says: "loaded it at its start", remedy: "'pg_net,pg_cron'"},
			{what: "loaded", change: extension("pg_cron", func(e *facts.Extension) { e.Installed = "" })},
			{what: "nobody may see what is loaded", change: all(extension("pg_cron", func(e *facts.Extension) { e.Installed = "" }), func(s *Subject) { delete(s.Parameters, "shared_preload_libraries") })},
		},
		"extension_missing": {
			{what: "pg_cron", change: func(s *Subject) { delete(s.Extensions, "pg_cron") }, says: "pg_cron is not installed", condition: SchedulerDown},
			{what: "vault", change: func(s *Subject) { delete(s.Extensions, "supabase_vault") }, says: "supabase_vault is not installed"},
			{what: "old", change: func(s *Subject) { s.Extensions["pg_net"] = "0.1" }},
		},
		"extension_old": {
			{what: "pg_cron", change: extension("pg_cron", func(e *facts.Extension) { e.Installed = "1.3" }), says: "has version 1.3, and 1.4 is the oldest", remedy: "alter extension pg_cron update"},
			{what: "pg_net", change: extension("pg_net", func(e *facts.Extension) { e.Installed = "0.1" }), says: "0.2 is the oldest"},
			{what: "as Debian names it", change: extension("pg_cron", func(e *facts.Extension) { e.Installed = "1.4-1" })},
			{what: "of an unknown form", change: extension("pg_cron", func(e *facts.Extension) { e.Installed = "next" })},
		},
		"extension_misplaced": {
			{what: "pg_net", change: func(s *Subject) { delete(s.Calls, "net.http_post") }, says: "is installed in schema extensions, but the function net.http_post is not", remedy: "create extension pg_net with schema extensions"},
			{what: "pg_cron", change: func(s *Subject) { delete(s.Calls, "cron.alter_job") }, says: "cron.alter_job is not"},
			{what: "too old for it", change: all(extension("pg_net", func(e *facts.Extension) { e.Installed = "0.1" }), func(s *Subject) { delete(s.Calls, "net.http_post") })},
			{what: "not installed", change: all(extension("pg_net", func(e *facts.Extension) { e.Installed = "" }), func(s *Subject) { delete(s.Calls, "net.http_post") })},
		},
		"extension_closed": {
			{what: "pg_net", change: func(s *Subject) { s.Calls["net.http_post"] = false }, says: "The function net.http_post may not be executed by role postgres", remedy: "grant usage on schema net to postgres"},
			{what: "the vault", change: func(s *Subject) { s.Calls["vault.create_secret"] = false }, says: "vault.create_secret", remedy: "as the owner of the extension, supabase_admin"},
			{what: "missing", change: func(s *Subject) { delete(s.Calls, "cron.schedule"); s.Calls["cron.unschedule"] = false }},
		},
		"cron_owner": {
			{what: "postgres", change: func(s *Subject) { s.CronOwnerWrites = new(bool) }, says: "permission denied for table job", attribute: atSchedules, remedy: "create extension pg_cron"},
			{what: "not installed", change: func(s *Subject) { s.CronOwnerWrites = nil }},
		},
		"cron_database": {
			{what: "another", change: parameter("cron.database_name", "cron"), says: "is cron, so pg_cron runs no job of database postgres", remedy: "alter system set cron.database_name = 'postgres'"},
			{what: "nobody may see it", change: func(s *Subject) { delete(s.Parameters, "cron.database_name") }},
		},
		"net_database": {
			{what: "another", change: parameter("pg_net.database_name", "net"), says: "is net, so pg_net sends no request of database postgres", remedy: "restart the server"},
			{what: "this one", change: parameter("pg_net.database_name", "postgres")},
		},
		"dispatcher_damaged": {
			{what: "no table", change: relation("auto_backup.incidents", facts.Missing), says: "auto_backup.incidents is missing"},
			{what: "no column", change: relation("auto_backup.runs", facts.Altered), says: "auto_backup.runs lacks a column"},
			{what: "no function", change: func(s *Subject) { delete(s.State.Functions, "watch"); delete(s.State.Functions, "dispatch") }, says: "lacks the functions dispatch, watch"},
			{what: "another's table", change: relation("net.http_request_queue", facts.Missing)},
			{what: "of another version", change: func(s *Subject) { s.State.DispatcherVersion = "0.1"; s.State.Functions = nil }},
		},
		"unfinished": {
			{what: "so", change: func(s *Subject) { s.Settings.Unfinished = true }, says: `The installation of backup "auto-backup" was begun and not finished`},
			{what: "no settings", change: func(s *Subject) { s.Settings = nil }},
		},
		"dispatcher_changed": {
			{what: "a function", change: func(s *Subject) { s.State.Functions["plain"] = "x" }, says: ": plain."},
			{what: "a function of somebody else", change: func(s *Subject) { s.State.Functions["mine"] = "x" }},
			{what: "of another version", change: func(s *Subject) { s.State.DispatcherVersion = "0.1"; s.State.Functions["plain"] = "x" }},
		},
		"job_role_missing": {
			{what: "so", change: func(s *Subject) {
				s.Jobs = append(s.Jobs, backup.Job{ID: 9, Name: "left", Username: "The Leaver", Orphaned: true})
			}, says: `The pg_cron job "left" (id 9) belongs to role The Leaver, which does not exist`, attribute: atSchedules, remedy: "create role \"The Leaver\" nologin"},
			{what: "a job of a role", change: foreign("select 1", true)},
		},
		"run_ids_behind": {
			{what: "called", change: func(s *Subject) { s.RunIDSequence.LastValue = 6 }, says: "has run ids up to 7, and pg_cron's sequence would give 7 next", attribute: atSchedules, remedy: "truncate cron.job_run_details"},
			{what: "not called", change: func(s *Subject) { s.RunIDSequence.IsCalled = false }, says: "would give 7 next", attribute: atSchedules},
			{what: "not called, and the next one is free", change: func(s *Subject) { *s.RunIDSequence = facts.Sequence{LastValue: 8} }},
			{what: "no history", change: func(s *Subject) { s.NewestTick.RunID = nil; s.RunIDSequence.LastValue = 1 }},
			{what: "nobody may read it", change: func(s *Subject) { s.RunIDSequence = nil }},
		},
		"scheduler_absent": {
			{what: "so", change: func(s *Subject) { s.Processes.PgCron = false }, says: "pg_cron's scheduler is not running", attribute: atSchedules, remedy: "estart"},
			{what: "so, and the reader sees no kinds of processes", change: func(s *Subject) { s.Processes.PgCron, s.Server.SeesProcesses = false, false }, says: "is not running", attribute: atSchedules},
			{what: "not installed", change: func(s *Subject) { s.Processes.PgCron = false; delete(s.Extensions, "pg_cron") }},
			{what: "a job without a role", change: func(s *Subject) { s.Processes.PgCron = false; s.job("daily").Orphaned = true }},
			{what: "run ids", change: func(s *Subject) { s.Processes.PgCron = false; s.RunIDSequence.LastValue = 2 }},
		},
		"scheduler_off": {
			{what: "off", change: parameter("cron.launch_active_jobs", "off"), says: "cron.launch_active_jobs is off", attribute: atSchedules, remedy: "pg_reload_conf"},
			{what: "on", change: parameter("cron.launch_active_jobs", "on")},
		},
		"cron_timezone": {
			{what: "São Paulo", change: parameter("cron.timezone", "America/Sao_Paulo"), says: `is "America/Sao_Paulo", so all jobs run at other times`, attribute: atTimezone, remedy: "GMT"},
			{what: "a zone that is UTC in winter", change: parameter("cron.timezone", "Europe/London"), says: `"Europe/London"`, attribute: atTimezone},
			{what: "nonsense", change: parameter("cron.timezone", "Nowhere/Else"), says: `"Nowhere/Else"`, attribute: atTimezone},
			{what: "GMT", change: parameter("cron.timezone", "GMT")},
			{what: "Zulu", change: parameter("cron.timezone", "Zulu")},
			{what: "small letters", change: parameter("cron.timezone", "etc/utc")},
			{what: "a zone that is always UTC", change: parameter("cron.timezone", "Africa/Abidjan")},
		},
		"workers_exhausted": {
			{what: "all", change: all(parameter("cron.use_background_workers", "on"), func(s *Subject) { s.Processes.BackgroundWorkers = 8 }), says: "all 8 of max_worker_processes", attribute: atSchedules, remedy: "max_worker_processes = 16"},
			{what: "one is left", change: all(parameter("cron.use_background_workers", "on"), func(s *Subject) { s.Processes.BackgroundWorkers = 7 })},
			{what: "connections", change: func(s *Subject) { s.Processes.BackgroundWorkers = 8 }},
			{what: "not seen", change: all(parameter("cron.use_background_workers", "on"), func(s *Subject) { s.Processes.BackgroundWorkers, s.Server.SeesProcesses = 8, false })},
		},
		"schedule_frequent": {
			{what: "hourly", change: schedulesAt("0 * * * *")},
			{what: "every half hour", change: schedulesAt("*/30 * * * *"), says: "Schedule \"a\" runs twice within 30 min.", attribute: "schedules.a", remedy: "less often"},
			{what: "it was so before", change: all(schedulesAt("*/30 * * * *"), func(s *Subject) { s.Spec.KeepsSchedules = true })},
			{what: "two", change: schedulesAt("0 3 * * *", "5 3 * * *")},
		},
		"schedules_close": {
			{what: "fifteen minutes", change: schedulesAt("0 3 * * *", "15 3 * * *")},
			{what: "five minutes", change: schedulesAt("0 3 * * *", "5 3 * * *"), says: "Schedule \"a\" starts within 5 min of schedule \"b\"", attribute: "schedules.a", remedy: "remove one"},
			{what: "the same time", change: schedulesAt("0 3 * * *", "0 3 * * *"), says: "starts at the same time as schedule \"b\"", attribute: "schedules.a"},
			{what: "one alone", change: schedulesAt("*/30 * * * *")},
		},
		"zone_rules_differ": {
			{what: "summer time that the provider does not know", change: all(inSaoPaulo(true), func(s *Subject) {
				s.ZoneChanges = schedule.Rules{backup.DefaultTimezone: {{0, -10800}, {s.Now.AddDate(0, 6, 0).Truncate(time.Hour).Unix(), -7200}}}
			}), says: "(UTC-02:00) by the database and", attribute: atTimezone, remedy: "apply again"},
			{what: "the same rules", change: all(inSaoPaulo(true), func(s *Subject) {
				s.ZoneChanges = schedule.Rules{backup.DefaultTimezone: {{0, -10800}}}
			})},
			{what: "another zone", change: func(s *Subject) { s.ZoneChanges = schedule.Rules{backup.DefaultTimezone: {{0, -7200}}} }},
			{what: "the drill's", change: all(drilled(nil), func(s *Subject) {
				s.Spec.Settings.Drill.Zone = backup.DefaultTimezone
				s.ZoneChanges = schedule.Rules{backup.DefaultTimezone: {{0, -7200}}}
			}), says: "(UTC-02:00) by the database and", attribute: atTimezone},
			{what: "no schedule that is enabled", change: all(inSaoPaulo(false), func(s *Subject) {
				s.ZoneChanges = schedule.Rules{backup.DefaultTimezone: {{0, -7200}}}
			})},
		},
		"zone_unknown": {
			{what: "the backup's", change: func(s *Subject) { s.UnknownZones = []string{kyiv} }, says: "America/Coyhaique is not known", attribute: atTimezone, remedy: "pg_timezone_names"},
			{what: "a schedule's", change: func(s *Subject) {
				s.UnknownZones = []string{kyiv}
				daily := s.Spec.Settings.Schedules["daily"]
				daily.Timezone = &kyiv
				s.Spec.Settings.Schedules["daily"] = daily
			}, says: "America/Coyhaique", attribute: "schedules.daily.timezone"},
			{what: "the drill's", change: all(drilled(nil), func(s *Subject) {
				s.UnknownZones, s.Spec.Settings.Drill.Timezone = []string{kyiv}, &kyiv
			}), says: "America/Coyhaique", attribute: "drill.timezone"},
			{what: "none", change: func(s *Subject) { s.UnknownZones = []string{} }},
		},
		"pg_net_down": {
			{what: "so", change: func(s *Subject) { s.Processes.PgNet = false }, says: "pg_net's worker is not running", remedy: "net.worker_restart()"},
			{what: "not seen, but new", change: func(s *Subject) { s.Processes.PgNet, s.Server.SeesProcesses = false, false }, says: "is not running"},
			{what: "not seen, and old", change: func(s *Subject) {
				s.Processes.PgNet, s.Server.SeesProcesses, s.Extensions["pg_net"] = false, false, "0.13.0"
			}},
			{what: "seen, and old", change: func(s *Subject) { s.Processes.PgNet, s.Extensions["pg_net"] = false, "0.7.1" }, says: "is not running"},
			{what: "not installed", change: func(s *Subject) { s.Processes.PgNet = false; delete(s.Extensions, "pg_net") }},
		},
		"queue_crowded": {
			{what: "crowded", change: func(s *Subject) { s.Queue = make([]int64, 200) }, says: "holds 200 requests or more", remedy: "net.http_request_queue"},
			{what: "more than are counted", change: func(s *Subject) { s.Queue = make([]int64, facts.QueueLimit) }, says: "holds 200 requests or more"},
			{what: "busy", change: func(s *Subject) { s.Queue = make([]int64, 199) }},
			{what: "no worker", change: func(s *Subject) { s.Queue = make([]int64, 300); s.Processes.PgNet = false }},
		},
		"job_of_other_role": {
			{what: "so", change: all(otherRole, without("daily")), says: "The job auto-backup-daily belongs to role somebody instead of postgres", remedy: "other role"},
			{what: "the drill's", change: all(drilled(nil), func(s *Subject) { s.job("drill").Username = "somebody" }), says: "The job auto-backup-drill belongs to role somebody", severity: Warning},
			{what: "the watchdog's", change: func(s *Subject) { s.job("watchdog").Username = "somebody" }, says: "The job auto-backup-watchdog belongs to role somebody", condition: SchedulerDown},
			{what: "as well", change: otherRole},
		},
		"job_missing": {
			{what: "a schedule's", change: without("daily"), says: "The job auto-backup-daily does not exist"},
			{what: "the watchdog's", change: without("watchdog"), says: "auto-backup-watchdog does not exist", condition: SchedulerDown},
			{what: "the drill's", change: all(drilled(nil), without("drill")), says: "auto-backup-drill does not exist", severity: Warning},
			{what: "of another role", change: all(otherRole, without("daily"))},
			{what: "switched off", change: all(without("daily"), func(s *Subject) {
				daily := s.Spec.Settings.Schedules["daily"]
				daily.Enabled = false
				s.Spec.Settings.Schedules["daily"] = daily
			})},
			{what: "cannot be read", change: all(without("daily"), relation("cron.job", facts.Forbidden))},
			{what: "no pg_cron", change: all(without("daily"), func(s *Subject) { delete(s.Extensions, "pg_cron") })},
		},
		"job_inactive": {
			{what: "a schedule's", change: func(s *Subject) { s.job("daily").Active = false }, says: "auto-backup-daily is switched off"},
			{what: "the drill's", change: all(drilled(nil), func(s *Subject) { s.job("drill").Active = false }), says: "auto-backup-drill is switched off", severity: Warning},
			{what: "the watchdog's", change: func(s *Subject) { s.job("watchdog").Active = false }, says: "auto-backup-watchdog is switched off", condition: SchedulerDown},
			{what: "of a schedule that is off", change: func(s *Subject) {
				s.job("daily").Active = false
				daily := s.Spec.Settings.Schedules["daily"]
				daily.Enabled = false
				s.Spec.Settings.Schedules["daily"] = daily
			}},
		},
		"job_active": {
			{what: "of a schedule that is off", change: func(s *Subject) {
				daily := s.Spec.Settings.Schedules["daily"]
				daily.Enabled = false
				s.Spec.Settings.Schedules["daily"] = daily
			}, says: "is active, although its schedule is switched off"},
			{what: "no job", change: without("daily")},
		},
		"job_changed": {
			{what: "all of it", change: func(s *Subject) {
				j := s.job("daily")
				j.Schedule, j.Command, j.Database = "* * * * *", "select\n1", "other"
			}, says: `its schedule is "* * * * *" instead of "0 3 * * *", its command is "select 1" instead of "set statement_timeout = '2min'; select auto_backup.dispatch('auto-backup', 'daily')", its database is "other"`},
			{what: "the drill's", change: all(drilled(nil), func(s *Subject) { s.job("drill").Command = "select 1" }), says: "auto-backup-drill was changed: its command", severity: Warning},
			{what: "the watchdog's", change: func(s *Subject) { s.job("watchdog").Schedule = "0 0 1 1 *" }, says: "its schedule", condition: SchedulerDown},
			{what: "its id", change: func(s *Subject) { s.job("daily").ID = 77 }},
		},
		"tick_failed": {
			{what: "after the last success", change: failedTick("daily", now.Add(-time.Hour)), says: "The latest tick of the job auto-backup-daily (at 2026-11-23T11:00:00Z) failed: ERROR: no such function."},
			{what: "before the last success", change: failedTick("daily", now.Add(-10*time.Hour))},
			{what: "while the watchdog is silent", change: all(failedTick("daily", now.Add(-time.Hour)), silent), says: "failed", condition: SchedulerDown},
			{what: "the watchdog's", change: failedTick("watchdog", now.Add(-time.Hour))},
			{what: "the watchdog's, which is silent", change: all(failedTick("watchdog", now.Add(-time.Hour)), silent), says: "auto-backup-watchdog", condition: SchedulerDown},
			{what: "at no time, due before the last success", change: failedTick("daily", time.Time{})},
			{what: "at no time, due after the last success", change: all(failedTick("daily", time.Time{}), func(s *Subject) { s.LastSuccess.FinishedAt = now.Add(-10 * time.Hour) }), says: "(at a time that pg_cron did not note)"},
			{what: "no success", change: all(failedTick("daily", now.Add(-time.Hour)), func(s *Subject) { s.LastSuccess = nil }), says: "failed"},
			{what: "the drill's", change: all(drilled(nil), failedTick("drill", now.Add(-time.Minute))), says: "The latest tick of the job auto-backup-drill (at 2026-11-23T11:59:00Z) failed", severity: Warning},
			{what: "the drill's, before another drill", change: all(drilled(nil), failedTick("drill", now.Add(-2*time.Hour)))},
			{what: "the drill's, at no time", change: all(drilled(nil), failedTick("drill", time.Time{}))},
			{what: "it succeeded", change: func(s *Subject) { s.Ticks = map[int64]facts.Tick{s.job("daily").ID: {Status: "succeeded"}} }},
		},
		"job_duplicate": {
			{what: "so", change: otherRole, says: "The job auto-backup-daily belongs to role somebody as well as to postgres"},
			{what: "instead", change: all(otherRole, without("daily"))},
		},
		"other_job": {
			{what: "by the default function", change: foreign("select public.backup_all_data()", true), says: "The job nightly (0 2 * * *) of role somebody makes backups as well"},
			{what: "by the function of the settings", change: all(foreign("SELECT my_backup ( )", true), func(s *Subject) { s.Spec.Settings.Function.RPC = "my_backup" }), says: "nightly"},
			{what: "by another function than that of the settings", change: all(foreign("select backup_all_data()", true), func(s *Subject) { s.Spec.Settings.Function.RPC = "my_backup" })},
			{what: "by a function of a longer name", change: foreign("select backup_all_data_v2()", true)},
			{what: "by the Data API", change: foreign("select net.http_post('https://x/rest/v1/rpc/backup_all_data')", true), says: "nightly"},
			{what: "by the Edge Function's address", change: foreign("select net.http_post('https://x/functions/v1/auto-backup')", true), says: "nightly"},
			{what: "another Edge Function", change: foreign("select net.http_post('https://x/functions/v1/auto-backup-2')", true)},
			{what: "switched off", change: foreign("select backup_all_data()", false)},
			{what: "the dispatcher", change: foreign("select auto_backup.dispatch('auto-backup', 'daily')", true)},
			{what: "the backup's own, changed", change: func(s *Subject) { s.job("daily").Command = "select backup_all_data()" }},
		},
		"watchdog_silent": {
			{what: "for half an hour", change: silent, says: "looked last at 2026-11-23T11:29:00Z: its job does not run, or fails; pg_cron does run jobs", remedy: "cron.job_run_details"},
			{what: "as all jobs", change: all(silent, func(s *Subject) { s.NewestTick.At = now.Add(-31 * time.Minute) }), says: "or fails; the newest tick of any job is of 2026-11-23T11:29:00Z"},
			{what: "not quite", change: func(s *Subject) { s.Watchdog.At = now.Add(-30 * time.Minute) }},
			{what: "since the installation", change: func(s *Subject) { s.Watchdog = nil }, says: "has never looked since the installation at 2026-11-01T00:00:00Z: its job"},
			{what: "by a wrong clock", change: func(s *Subject) { s.Watchdog.At = now.AddDate(10, 0, 0) }, says: "has not looked at a time before now since the installation at 2026-11-01T00:00:00Z: its job"},
			{what: "just installed", change: func(s *Subject) { s.Watchdog, s.Settings.CreatedAt = nil, now.Add(-time.Minute) }},
			{what: "not to be read", change: all(silent, relation("auto_backup.watchdog", facts.Forbidden))},
		},
		"forged_log": {
			{what: "two", change: func(s *Subject) { s.Watchdog.Forged = 2 }, says: "has not signed, which the watchdog ignores: 2"},
			{what: "none", change: func(s *Subject) { s.Watchdog.Forged = 0 }},
			{what: "never looked", change: func(s *Subject) { s.Watchdog = nil }},
		},
		"watchdog_hindered": {
			{what: "by two", change: func(s *Subject) { s.Watchdog.Problems = []string{"retry: no\nright", "prune: a lock."} }, says: "could not do a part of its work: retry: no right; prune: a lock."},
			{what: "never looked", change: func(s *Subject) { s.Watchdog = nil }},
		},
		"vault_token_missing": {
			{what: "so", change: func(s *Subject) { delete(s.Vault, "auto-backup/token") }, says: "there is no secret auto-backup/token"},
			{what: "not to be read", change: func(s *Subject) { s.Vault = nil }},
			{what: "no vault", change: func(s *Subject) { delete(s.Vault, "auto-backup/token"); delete(s.Extensions, "supabase_vault") }},
		},
		"vault_token_unreadable": {
			{what: "so", change: func(s *Subject) { s.TokenDigest.Digest = "" }, says: "cannot decrypt the secret auto-backup/token"},
			{what: "missing", change: func(s *Subject) { s.TokenDigest.Digest = ""; delete(s.Vault, "auto-backup/token") }},
			{what: "not to be compared", change: func(s *Subject) { s.TokenDigest = nil }},
		},
		"function_token_missing": {
			{what: "so", change: func(s *Subject) { s.State.Token.Function = "" }, says: "its secret AUTO_BACKUP_TOKEN is missing"},
			{what: "during a rotation", change: func(s *Subject) { s.State.Token.Function, s.State.Token.Next = "", "d" }},
		},
		"token_mismatch": {
			{what: "so", change: func(s *Subject) { s.State.Token.Vault = "e" }, says: "differs from the function's secret AUTO_BACKUP_TOKEN"},
			{what: "the next one", change: func(s *Subject) { s.State.Token.Vault, s.State.Token.Next = "e", "e" }},
			{what: "none in the function", change: func(s *Subject) { s.State.Token.Function = "" }},
			{what: "none in the vault", change: func(s *Subject) { s.State.Token.Vault = "" }},
		},
		"secret_missing": {
			{what: "so", change: func(s *Subject) { delete(s.Secrets, "REPORT_KEY") }, says: "REPORT_KEY"},
			{what: "another's", change: func(s *Subject) { delete(s.Secrets, mailKey) }},
		},
		"function_missing": {
			{what: "removed", change: edge("auto-backup", "REMOVED"), says: "The Edge Function auto-backup is not deployed"},
			{what: "throttled", change: edge("auto-backup", "THROTTLED")},
		},
		"function_status": {
			{what: "throttled", change: edge("auto-backup", "THROTTLED"), says: "has the status THROTTLED instead of ACTIVE"},
			{what: "removed", change: edge("auto-backup", "REMOVED")},
		},
		"function_verify_jwt": {
			{what: "on", change: func(s *Subject) { s.Edge[0].VerifyJWT = true }, says: "verify_jwt is on"},
			{what: "of another", change: func(s *Subject) { s.Edge[1].VerifyJWT = true }},
			{what: "not active", change: all(edge("auto-backup", "THROTTLED"), func(s *Subject) { s.Edge[0].VerifyJWT = true })},
		},
		"function_replaced": {
			{what: "so", change: func(s *Subject) { s.Edge[0].ID = "g" }, says: "it was deleted and recreated"},
			{what: "never noted", change: func(s *Subject) { s.State.FunctionID = "" }},
			{what: "with verify_jwt", change: func(s *Subject) { s.Edge[0].ID, s.Edge[0].VerifyJWT = "g", true }},
		},
		"function_url": {
			{what: "another", change: func(s *Subject) { s.FunctionURL = "https://y" }, says: "is called at https://x/functions/v1/auto-backup, not at https://y", remedy: "project_url"},
			{what: "another, and the last run failed", change: func(s *Subject) {
				s.FunctionURL, s.History = "https://y", []history.Run{{State: history.Overdue}, {ID: "r", State: history.Failed}}
			}, says: "not at https://y", condition: Failing},
			{what: "not an address", change: func(s *Subject) { s.Spec.Settings.Function.URL = "ftp://x" }, says: `is "ftp://x"`, condition: Failing},
			{what: "no host", change: func(s *Subject) { s.Spec.Settings.Function.URL = "https:///x" }, says: "is not an http or https address", condition: Failing},
			{what: "not compared", change: func(s *Subject) { s.FunctionURL = "" }},
			{what: "another, and nothing ran", change: func(s *Subject) { s.FunctionURL, s.History = "https://y", nil }, says: "not at https://y"},
			{what: "http", change: func(s *Subject) { s.FunctionURL, s.Spec.Settings.Function.URL = "", "http://127.0.0.1:8000" }},
		},
		"table_missing": {
			{what: "so", change: func(s *Subject) { delete(s.Tables, "system_logs") }, says: "The table public.system_logs does not exist, and every run is written there", remedy: "id, type, message, context, created_at"},
			{what: "another", change: func(s *Subject) { delete(s.Tables, "alert_subscriptions") }},
		},
		"table_kind": {
			{what: "a view", change: table("backup_logs", func(t *facts.Table) { t.Kind = "v" }), says: "is not a table"},
			{what: "partitioned", change: table("backup_logs", func(t *facts.Table) { t.Kind = "p" })},
		},
		"table_altered": {
			{what: "so", change: column("system_logs", "context", renamed), says: "The column public.system_logs.context does not exist", remedy: "alter table public.system_logs add column context jsonb"},
			{what: "another table", change: column("backup_logs", "created_at", renamed), says: "public.backup_logs.created_at", remedy: "timestamptz default now()"},
			{what: "a new column", change: table("backup_logs", func(t *facts.Table) { t.Columns = append(t.Columns, facts.Column{Name: "actor"}) })},
		},
		"log_column": {
			{what: "of another type", change: column("backup_logs", "id", func(c *facts.Column) { c.Type, c.Base = "bigint", "int8" }), says: "public.backup_logs.id has type bigint", remedy: "type uuid"},
			{what: "too short", change: column("backup_logs", "action_type", func(c *facts.Column) { c.Length = 10 }), says: "holds 10 characters, and a run writes 11", remedy: "type text"},
			{what: "just long enough", change: column("backup_logs", "action_type", func(c *facts.Column) { c.Length = 11 })},
			{what: "too short for a failure", change: column("backup_logs", "details", func(c *facts.Column) { c.Length = 279 }), says: "the text of a failure may have 280", severity: Warning},
			{what: "long enough for a failure", change: column("backup_logs", "details", func(c *facts.Column) { c.Length = 280 })},
			{what: "generated", change: column("system_logs", "message", func(c *facts.Column) { c.Generated = true }), says: "public.system_logs.message is generated", remedy: "drop expression"},
			{what: "a generated id", change: column("system_logs", "id", func(c *facts.Column) { c.Generated = true })},
			{what: "no time", change: column("system_logs", "created_at", func(c *facts.Column) { c.Default = false }), says: "has no default", severity: Warning, remedy: "set default now()"},
			{what: "one more that needs a value", change: table("backup_logs", func(t *facts.Table) { t.Columns = append(t.Columns, facts.Column{Name: "actor", NotNull: true}) }), says: "public.backup_logs.actor is NOT NULL without a default", remedy: "drop not null"},
			{what: "one more that has one", change: table("backup_logs", func(t *facts.Table) {
				t.Columns = append(t.Columns, facts.Column{Name: "actor", NotNull: true, Default: true}, facts.Column{Name: "note"}, facts.Column{Name: "sum", NotNull: true, Generated: true})
			})},
			{what: "a sequence", change: column("system_logs", "id", func(c *facts.Column) { c.SequenceClosed = true }), says: "sequence that service_role may not use", remedy: "grant usage on sequence public.system_logs_id_seq"},
		},
		"log_unique": {
			{what: "no id", change: table("backup_logs", func(t *facts.Table) { t.Unique = nil }), says: "a request that arrives twice makes two backups", severity: Warning, remedy: "primary key (id)"},
			{what: "no id in the other one", change: table("system_logs", func(t *facts.Table) { t.Unique = nil })},
			{what: "one row", change: table("backup_logs", func(t *facts.Table) { t.Unique = append(t.Unique, []string{"action_type", "success"}) }), says: "allows one row per action_type and success only", remedy: "(action_type, success)"},
			{what: "one row per time", change: table("system_logs", func(t *facts.Table) { t.Unique = append(t.Unique, []string{"created_at", "type"}) })},
		},
		"log_not_evaluated": {
			{what: "a function of the application", change: func(s *Subject) { s.LogConstraints[0].Skipped = true }, says: "The CHECK action of public.backup_logs needs functions"},
			{what: "all were", change: func(s *Subject) { s.LogConstraints = nil }},
		},
		"log_owner": {
			{what: "another role", change: func(s *Subject) { s.table("system_logs", func(t *facts.Table) { t.Owner = "reporting" }) }, says: "The table public.system_logs belongs to role reporting", remedy: "alter table public.system_logs owner to postgres"},
			{what: "Supabase's", change: func(s *Subject) { s.table("system_logs", func(t *facts.Table) { t.Owner = "supabase_admin" }) }},
		},
		"foreign_trigger": {
			{what: "one on pg_net's queue", change: func(s *Subject) {
				s.ForeignTriggers = []facts.ForeignTrigger{{Table: "net.http_request_queue", Name: "copies", Function: "public.copies", Owner: "reporting"}}
			}, says: "The trigger copies of net.http_request_queue runs public.copies, which belongs to role reporting", remedy: "drop trigger copies on net.http_request_queue"},
			{what: "none", change: func(s *Subject) { s.ForeignTriggers = []facts.ForeignTrigger{} }},
		},
		"log_rule": {
			{what: "so", change: table("system_logs", func(t *facts.Table) { t.Rules = []string{"Quiet"} }), says: "The rule Quiet of public.system_logs", remedy: `drop rule "Quiet" on public.system_logs`},
			{what: "of another", change: table("alert_subscriptions", func(t *facts.Table) { t.Rules = []string{"quiet"} })},
		},
		"log_rights": {
			{what: "no schema", change: func(s *Subject) { s.Roles["service_role"] = facts.Role{BypassesRLS: true} }, says: "may not use schema public", remedy: "grant usage on schema public to service_role"},
			{what: "no columns", change: all(column("backup_logs", "id", func(c *facts.Column) { c.Rights = "S" }), column("backup_logs", "success", func(c *facts.Column) { c.Rights = "SI" })), says: "lacks INSERT (id) and UPDATE (id, success) on public.backup_logs", remedy: "grant select, insert, update on public.backup_logs to service_role"},
			{what: "what it does not need", change: column("backup_logs", "action_type", func(c *facts.Column) { c.Rights = "SI" })},
			{what: "the watchdog", change: table("system_logs", func(t *facts.Table) { t.Rights["postgres"] = "IU" }), says: "The role postgres lacks SELECT on public.system_logs", severity: Warning, remedy: "to postgres"},
		},
		"log_row_security": {
			{what: "no policy", change: policies(""), says: "lacks BYPASSRLS, and no policy of public.backup_logs lets it", remedy: "bypassrls"},
			{what: "some policies", change: policies("ra"), says: "lacks BYPASSRLS"},
			{what: "all policies", change: policies("raw"), says: "is subject to the row level security", severity: Warning},
			{what: "one policy", change: policies("*"), says: "is subject to the row level security", severity: Warning},
			{what: "bypassed", change: table("backup_logs", func(t *facts.Table) { t.RLS = true })},
			{what: "not there", change: func(s *Subject) { s.Roles["service_role"] = facts.Role{UsesPublic: true} }},
		},
		"log_refused": {
			{what: "a kind of entry", change: func(s *Subject) { s.LogConstraints[1].AdmitsAll = false }, says: "The CHECK kind of public.system_logs refuses", remedy: "drop constraint kind"},
			{what: "the action", change: func(s *Subject) { s.LogConstraints[0].Admits = false }, mode: asked, says: "The CHECK action of public.backup_logs refuses rows of action_type", remedy: "terraform apply"},
			{what: "the action, which the apply widens", change: func(s *Subject) { s.LogConstraints[0].AdmitsAll = false }, mode: planning},
			{what: "the action, of a table of somebody else", change: all(func(s *Subject) { s.LogConstraints[0].AdmitsAll = false }, table("backup_logs", func(t *facts.Table) { t.AlteredByPostgres, t.Owner = false, "somebody" })), mode: planning, says: "belongs to role somebody", attribute: AtLogConstraint, remedy: "owner to postgres"},
			{what: "the action, which somebody else widens", change: all(func(s *Subject) { s.LogConstraints[0].AdmitsAll, s.Spec.ExtendLogConstraint = false, false }, table("backup_logs", func(t *facts.Table) { t.AlteredByPostgres = false })), mode: planning},
		},
		"verify_table": {
			{what: "right", change: verifying("copies")},
			{what: "not there", change: verifying("backups"), says: "public.backups does not exist", attribute: atVerifyTable},
			{what: "no column", change: verifying("alert_subscriptions"), says: "has no column backup_id", attribute: atVerifyTable},
			{what: "another type", change: all(verifying("copies"), column("copies", "backup_id", func(c *facts.Column) { c.Base, c.Type = "int8", "bigint" })), says: "has type bigint", attribute: atVerifyTable},
			{what: "closed", change: all(verifying("copies"), column("copies", "backup_id", func(c *facts.Column) { c.Rights = "" })), says: "may not read public.copies", attribute: atVerifyTable, remedy: "grant select on public.copies"},
		},
		"rpc_missing": {
			{what: "so", change: func(s *Subject) { s.Routines, s.Similar = nil, []string{"backup_all_data", "backup_everything"} }, says: "public.backup_all_data does not exist", attribute: AtRPC, remedy: "Schema public has these: backup_everything."},
			{what: "elsewhere", change: routine(func(r *facts.Routine) { r.Schema = "extensions" }), says: "exists in schema extensions only", attribute: AtRPC},
			{what: "a procedure", change: routine(func(r *facts.Routine) { r.Kind = "p" }), says: "is a procedure", attribute: AtRPC},
			{what: "with arguments", change: routine(func(r *facts.Routine) { r.Required = 2 }), says: "needs 2 arguments", attribute: AtRPC},
			{what: "twice", change: func(s *Subject) { s.Routines = append(s.Routines, s.Routines[0]) }, says: "exists 2 times without required arguments", attribute: AtRPC},
			{what: "another with arguments", change: func(s *Subject) {
				other := s.Routines[0]
				other.Required = 1
				s.Routines = append(s.Routines, other)
			}},
		},
		"rpc_rights": {
			{what: "so", change: routine(func(r *facts.Routine) { r.Callable = false }), says: "may not be executed by service_role", attribute: AtRPC, remedy: "grant execute on function public.backup_all_data() to service_role"},
			{what: "missing", change: routine(func(r *facts.Routine) { r.Callable, r.Required = false, 1 })},
		},
		"data_api_schemas": {
			{what: "others", change: roleParameter(facts.RoleParameter{Role: "authenticator", Name: "pgrst.db_schemas", Value: "api, graphql_public"}), says: "exposes the schemas api, graphql_public and not public", attribute: AtRPC},
			{what: "public among them", change: roleParameter(facts.RoleParameter{Role: "authenticator", Name: "pgrst.db_schemas", Value: `api, "public"`})},
			{what: "another role's", change: roleParameter(facts.RoleParameter{Role: "postgres", Name: "pgrst.db_schemas", Value: "api"})},
		},
		"rpc_result": {
			{what: "stable", change: routine(func(r *facts.Routine) { r.Volatile = false }), says: "is not VOLATILE", attribute: AtRPC, remedy: "alter function public.backup_all_data() volatile"},
			{what: "a set", change: routine(func(r *facts.Routine) { r.Set = true }), says: "returns a set", attribute: AtRPC, remedy: "source_dir"},
			{what: "a text", change: routine(func(r *facts.Routine) { r.Type = "text" }), says: "returns text instead of json or jsonb", attribute: AtRPC},
			{what: "jsonb", change: routine(func(r *facts.Routine) { r.Type = "jsonb" })},
			{what: "a row", change: routine(func(r *facts.Routine) { r.Type, r.ResultColumns = "record", []string{"success", "backup_id"} })},
			{what: "a row without the id", change: routine(func(r *facts.Routine) { r.Type, r.ResultColumns = "record", []string{"success", "total"} }), says: "returns record", attribute: AtRPC},
		},
		"statement_timeout": {
			{what: "its own", change: routine(func(r *facts.Routine) { r.Config = []string{"statement_timeout=4s"} }), says: "after 4s (statement_timeout, its own setting)", attribute: AtRPC, remedy: "service_role"},
			{what: "none", change: routine(func(r *facts.Routine) { r.Config = []string{"statement_timeout=0"} })},
			{what: "service_role's", change: all(routine(func(r *facts.Routine) { r.Config = nil }), roleParameter(facts.RoleParameter{Role: "service_role", Name: "statement_timeout", Value: "2500ms"}, facts.RoleParameter{Role: "authenticator", Name: "statement_timeout", Value: "1min"})), says: "after 2.5s (statement_timeout, set for role service_role)", attribute: AtRPC},
			{what: "the connection's", change: all(routine(func(r *facts.Routine) { r.Config = nil }), roleParameter(facts.RoleParameter{Role: "authenticator", Name: "statement_timeout", Value: "8s"})), says: "after 8s (statement_timeout, set for role authenticator)", attribute: AtRPC},
			{what: "the database's", change: all(routine(func(r *facts.Routine) { r.Config = nil }), parameter("statement_timeout", "29999")), says: "after 29.999s (statement_timeout, set for the database)", attribute: AtRPC},
			{what: "the database's, long enough", change: all(routine(func(r *facts.Routine) { r.Config = nil }), parameter("statement_timeout", "30s"))},
		},
		"stored_backups_missing": {
			{what: "so", change: func(s *Subject) { s.StoredBackups = nil }, says: "has no table any more that holds backups"},
			{what: "nothing succeeded", change: func(s *Subject) { s.StoredBackups, s.LastSuccess = nil, nil }},
			{what: "the reader sees nothing", change: all(func(s *Subject) { s.StoredBackups = nil }, relation("public.system_logs", facts.Forbidden))},
			{what: "of another function", change: func(s *Subject) { s.StoredBackups, s.Spec.Settings.Function.RPC = nil, "my_backup" }},
			{what: "of another function, with a table that cannot be counted", change: all(verifying("copies"), func(s *Subject) { s.StoredBackups, s.Spec.Settings.Function.RPC = nil, "my_backup" })},
		},
		"stored_backup_missing": {
			{what: "so", change: func(s *Subject) { s.StoredBackups.HasLast = new(bool) }, says: "The backup b was the last success"},
			{what: "of another function", change: all(verifying("copies"), func(s *Subject) {
				s.Spec.Settings.Function.RPC = "my_backup"
				s.StoredBackups.HasLast, s.StoredBackups.Tables = new(bool), []string{"public.articles_copies", "public.copies"}
			}), says: "The backup b was the last success"},
			{what: "of another function, whose table cannot be counted", change: all(verifying("copies"), func(s *Subject) {
				s.Spec.Settings.Function.RPC = "my_backup"
				s.StoredBackups.HasLast, s.StoredBackups.Tables = new(bool), []string{"public.articles_copies"}
			})},
			{what: "not named", change: func(s *Subject) { s.StoredBackups.HasLast = nil }},
			{what: "no success", change: func(s *Subject) { s.StoredBackups.HasLast, s.LastSuccess = new(bool), nil }},
		},
		"retention_refused": {
			{what: "so", change: func(s *Subject) {
				s.Spec.Settings.Retention = &retention.Policy{}
				s.Watchdog.Retention = &facts.RetentionTick{At: now, Refused: "the trigger spy of public.backup_articles"}
			}, says: "because the trigger spy of public.backup_articles could have other code run with the rights of postgres."},
			{what: "removed", change: func(s *Subject) {
				s.Spec.Settings.Retention = &retention.Policy{}
				s.Watchdog.Retention = &facts.RetentionTick{At: now, BackupID: "x"}
			}},
			{what: "no tick yet", change: func(s *Subject) { s.Spec.Settings.Retention = &retention.Policy{} }},
			{what: "no retention any more", change: func(s *Subject) { s.Watchdog.Retention = &facts.RetentionTick{Refused: "x"} }},
		},
		"drill_failed": {
			{what: "so", change: drilled(func(d *facts.Drill) {
				d.State, d.Code, d.Error = facts.DrillFailed, "drill_check", "public.articles: small (40)"
			}), says: "found: rows of the backup violate a CHECK of the live table, so they cannot be restored (public.articles: small (40)).", remedy: "drop the CHECK first"},
			{what: "not required", change: all(drilled(func(d *facts.Drill) { d.State, d.Code = facts.DrillFailed, "drill_check" }), func(s *Subject) {
				s.DrillOptional = true
			}), says: "found: rows of the backup", condition: Healthy},
			{what: "successful", change: drilled(func(*facts.Drill) {})},
			{what: "no drill any more", change: all(drilled(func(d *facts.Drill) { d.State = facts.DrillFailed }), func(s *Subject) { s.Spec.Settings.Drill = nil })},
			{what: "none yet", change: all(drilled(nil), func(s *Subject) { s.Drills.Result = nil })},
		},
		"drill_incomplete": {
			{what: "so", change: drilled(func(d *facts.Drill) { d.State, d.Code = facts.DrillTimedOut, "drill_timed_out" }), says: "did not finish within 2 min"},
			{what: "successful", change: drilled(func(*facts.Drill) {})},
		},
		"drill_no_tables": {
			{what: "the text shows none", change: tableless, says: "The text of the SQL function public.backup_all_data does not show which tables it copies", attribute: "drill.tables"},
			{what: "it said so before", mode: planning, change: all(tableless, func(s *Subject) { s.Spec.KeepsDrill = true })},
			{what: "there is no such function", mode: planning, change: all(tableless, func(s *Subject) { s.Routines = nil })},
			{what: "some", change: drilled(nil)},
			{what: "switched off", change: all(tableless, func(s *Subject) { s.Spec.Settings.Drill.Enabled = false })},
			{what: "none of a former release", change: func(s *Subject) { s.Spec.Settings.Drill = nil }},
		},
		"drill_late": {
			{what: "no tables", change: all(drilled(func(d *facts.Drill) { d.StartedAt = d.StartedAt.AddDate(0, 0, -20) }), tableless)},
			{what: "so", change: drilled(func(d *facts.Drill) { d.StartedAt = d.StartedAt.AddDate(0, 0, -20) }), says: "has not been restored in a drill since"},
			{what: "skipped", change: all(drilled(func(d *facts.Drill) { d.StartedAt = d.StartedAt.AddDate(0, 0, -20) }), func(s *Subject) {
				s.Drills.Latest = &facts.Drill{State: facts.DrillSkipped, Code: "drill_locked", StartedAt: s.Now}
			}), says: ", no restore drill took place, because another session had locked a table."},
			{what: "in time", change: drilled(func(*facts.Drill) {})},
			{what: "just configured", change: all(drilled(nil), func(s *Subject) { s.Drills.Result, s.Settings.UpdatedAt = nil, s.Now })},
			{what: "paused", change: all(drilled(func(d *facts.Drill) { d.StartedAt = d.StartedAt.AddDate(0, 0, -20) }), func(s *Subject) { s.Spec.Settings.Drill.Enabled = false })},
		},
		"drill_silent": {
			{what: "so", change: silentDrill(func(*Subject) {}), says: "The job auto-backup-drill was due at 2026-11-23T05:00:00Z, and no restore drill has begun since"},
			{what: "never", change: silentDrill(func(s *Subject) { s.Drills.Latest = nil }), says: "no restore drill has begun since"},
			{what: "begun", change: silentDrill(func(s *Subject) { s.Drills.Latest.StartedAt = s.Now.Add(-7 * time.Hour) })},
			{what: "skipped", change: silentDrill(func(s *Subject) {
				s.Drills.Latest = &facts.Drill{State: facts.DrillSkipped, StartedAt: s.Now.Add(-7 * time.Hour)}
			})},
			{what: "may still be running", change: silentDrill(func(s *Subject) { s.Spec.Settings.Drill.TimeoutSeconds = 7 * 3600 })},
			{what: "configured since", change: silentDrill(func(s *Subject) { s.Settings.UpdatedAt = s.Now.Add(-time.Hour) })},
			{what: "switched off", change: silentDrill(func(s *Subject) { s.Jobs[len(s.Jobs)-1].Active = false })},
			{what: "no job", change: silentDrill(func(s *Subject) { s.Jobs = s.Jobs[:len(s.Jobs)-1] })},
			{what: "paused", change: silentDrill(func(s *Subject) { s.Spec.Settings.Drill.Enabled = false })},
			{what: "no expression", change: silentDrill(func(s *Subject) { s.Spec.Settings.Drill.Cron = "soon" })},
			{what: "not read", change: silentDrill(func(s *Subject) { s.Drills = nil })},
		},
		"drill_columns_lost": {
			{what: "so", change: drilled(func(d *facts.Drill) {
				d.Tables = []facts.DrillTable{{Table: "public.comments", Compared: new(int64), ColumnsLost: []facts.LostColumn{{Name: "likes", Rows: 5}, {Name: "parent_id", Rows: 1}}}}
			}), says: "The backup of public.comments lacks values of likes (5 rows), parent_id (1 rows), of 0 live rows"},
			{what: "none", change: drilled(func(d *facts.Drill) { d.Tables = []facts.DrillTable{{Table: "public.comments"}} })},
		},
		"drill_rows_missing": {
			{what: "so", change: drilled(func(d *facts.Drill) { d.Tables = []facts.DrillTable{{Table: "public.comments", RowsMissing: 3}} }), says: "lacks 3 rows that the table had"},
			{what: "none", change: drilled(func(d *facts.Drill) { d.Tables = []facts.DrillTable{{Table: "public.comments"}} })},
		},
		"alert_function_missing": {
			{what: "removed", change: edge(backup.DefaultAlertFunction, "REMOVED"), says: "The Edge Function alert-processor is not deployed", attribute: atAlertFunction, remedy: "`alert.function`"},
			{what: "no alert", change: all(edge(backup.DefaultAlertFunction, "REMOVED"), alertSettings(func(a *backup.AlertSettings) { a.Enabled = false }))},
			{what: "throttled", change: edge(backup.DefaultAlertFunction, "THROTTLED")},
		},
		"alert_function_status": {
			{what: "throttled", change: edge(backup.DefaultAlertFunction, "THROTTLED"), says: "has the status THROTTLED instead of ACTIVE", attribute: atAlertFunction},
			{what: "removed", change: edge(backup.DefaultAlertFunction, "REMOVED")},
			{what: "no alert", change: all(edge(backup.DefaultAlertFunction, "THROTTLED"), alertSettings(func(a *backup.AlertSettings) { a.Enabled = false }))},
		},
		"offsite_failed":            failedCopies(),
		"offsite_late":              lateCopies(),
		"offsite_object_changed":    changedObjects("offsite_object_changed", "no longer what was stored"),
		"offsite_object_missing":    changedObjects("offsite_object_missing", "no longer there"),
		"offsite_object_unlocked":   changedObjects("offsite_object_unlocked", "not locked any longer"),
		"channel_secret_missing":    missingSecrets(),
		"channel_secret_unreadable": unreadableSecrets(),
		"heartbeat_undelivered":     undeliveredPings(),
		"webhook_undelivered":       undeliveredMessages(),
		"alert_key_missing": {
			{what: "so", change: func(s *Subject) { delete(s.Vault, "auto-backup/alert-key") }, says: "lacks the secret auto-backup/alert-key, so the watchdog may not"},
			{what: "a function that asks for it", change: all(func(s *Subject) { delete(s.Vault, "auto-backup/alert-key") }, sendsKey), says: "so the function may refuse every request", condition: Failing},
			{what: "not to be read", change: func(s *Subject) { s.Vault = nil }},
			{what: "no alert", change: all(func(s *Subject) { delete(s.Vault, "auto-backup/alert-key") }, alertSettings(func(a *backup.AlertSettings) { a.Enabled = false }))},
		},
		"alert_key_unreadable": {
			{what: "so", change: func(s *Subject) { s.State.AlertKey.Undecryptable = true }, says: "The vault cannot decrypt the secret auto-backup/alert-key, as after a restore into another project, so the watchdog may not"},
			{what: "a function that asks for it", change: all(func(s *Subject) { s.State.AlertKey.Undecryptable = true }, sendsKey), says: "so the function may refuse every request", condition: Failing},
			{what: "no alert", change: all(func(s *Subject) { s.State.AlertKey.Undecryptable = true }, alertSettings(func(a *backup.AlertSettings) { a.Enabled = false }))},
			{what: "another key", change: keys("foreign", "own")},
		},
		"alert_key_mismatch": {
			{what: "so", change: keys("foreign", "own"), says: "The vault's secret auto-backup/alert-key is not a public key of this project: it was replaced there, or the database is a copy of another project's, so the watchdog may not"},
			{what: "a project without keys", change: keys("foreign"), says: "is not a public key of this project"},
			{what: "a function that asks for it", change: all(keys("foreign", "own"), sendsKey), says: "so the function may refuse every request", condition: Failing},
			{what: "one of them", change: keys("own", "another", "own")},
			{what: "one of them, and the legacy one beside it", change: keys("own legacy", "another", "own")},
			{what: "a legacy key beside it that is not the project's", change: keys("own replaced", "own"), says: "has a legacy anon key that is not the project's"},
			{what: "the legacy one alone", change: keys("legacy", "own"), says: "has only the legacy anon key, although the project has a publishable key"},
			{what: "the legacy one alone, of a project without another", change: keys("legacy", "legacy")},
			{what: "keys that are not known", change: func(s *Subject) { s.State.AlertKey.Vault = "foreign" }},
			{what: "no alert", change: all(keys("foreign", "own"), alertSettings(func(a *backup.AlertSettings) { a.Enabled = false }))},
			{what: "not to be decrypted", change: all(keys("own"), func(s *Subject) { s.State.AlertKey.Undecryptable = true })},
		},
		"no_subscribers": {
			{what: "no table", change: func(s *Subject) { delete(s.Tables, subscriptions) }, says: "public.alert_subscriptions does not exist", attribute: atAlertFunction, remedy: "create table"},
			{what: "nobody", change: func(s *Subject) { s.Subscribers = new(int64) }, says: "is empty", attribute: atAlertFunction, remedy: "insert into public.alert_subscriptions"},
			{what: "not to be read", change: table(subscriptions, func(t *facts.Table) { t.Rights = nil }), says: "may not be read by service_role", attribute: atAlertFunction, remedy: "grant select"},
			{what: "not known", change: func(s *Subject) { s.Subscribers = nil }},
			{what: "another function", change: all(func(s *Subject) { s.Subscribers = new(int64) }, alertSettings(func(a *backup.AlertSettings) { a.Function = "pager" }))},
			{what: "no function", change: all(func(s *Subject) { s.Subscribers = new(int64) }, edge(backup.DefaultAlertFunction, "REMOVED"))},
		},
		"alert_mail_key": {
			{what: "so", change: func(s *Subject) { delete(s.Secrets, mailKey) }, says: "RESEND_API_KEY is not set", attribute: atAlertFunction, remedy: "supabase secrets set"},
			{what: "self-hosted", change: func(s *Subject) { delete(s.Secrets, mailKey); s.ID.ProjectRef = backup.SelfHostedRef }},
			{what: "no alert", change: all(func(s *Subject) { delete(s.Secrets, mailKey) }, alertSettings(func(a *backup.AlertSettings) { a.Enabled = false }))},
		},
		"alert_not_delivered": {
			{what: "so", change: func(s *Subject) {
				s.Incident = &facts.Incident{OpenedAt: now, AlertState: "not_delivered", AlertError: "HTTP 500.\nno key."}
			}, says: "The alert about the incident of 2026-11-23T12:00:00Z was not delivered to every subscriber: HTTP 500. no key."},
			{what: "without a reason", change: func(s *Subject) { s.Incident = &facts.Incident{AlertState: "not_delivered"} }, says: "the reason is not known"},
			{what: "delivered", change: func(s *Subject) { s.Incident = &facts.Incident{AlertState: "delivered"} }},
			{what: "no alert", change: all(func(s *Subject) { s.Incident = &facts.Incident{AlertState: "not_delivered"} }, alertSettings(func(a *backup.AlertSettings) { a.Enabled = false }))},
		},
		"future_runs": {
			{what: "one", change: func(s *Subject) {
				s.FutureRuns = &facts.FutureRuns{Count: 1, Latest: time.Date(2036, 1, 1, 6, 0, 0, 0, time.UTC)}
			}, says: "dated after now, up to 2036-01-01T06:00:00Z, and do not count: 1", remedy: "delete the rows of `auto_backup.runs`"},
			{what: "none", change: func(s *Subject) { s.FutureRuns = &facts.FutureRuns{} }},
			{what: "not to be read", change: func(s *Subject) { s.FutureRuns = nil }},
		},
		"clock_skew": {
			{what: "ahead", change: func(s *Subject) { s.Clock = now.Add(90 * time.Minute) }, says: "are more than an hour apart"},
			{what: "behind", change: func(s *Subject) { s.Clock = now.Add(-6 * time.Minute) }, says: "are more than five minutes apart"},
			{what: "a little", change: func(s *Subject) { s.Clock = now.Add(5 * time.Minute) }},
			{what: "not compared", change: func(s *Subject) { s.Clock = time.Time{} }},
		},
	}
}

// inSaoPaulo gives the backup another schedule.
func inSaoPaulo(enabled bool) func(*Subject) {
	return func(s *Subject) {
		nightly, err := backup.CompileSchedule("0 3 * * *", nil, backup.DefaultTimezone, enabled, s.Now)
		if err != nil {
			panic(err)
		}
		s.Spec.Settings.Schedules["nightly"] = nightly
	}
}

// tableless has nobody know which tables a drill restores.
func tableless(s *Subject) {
	s.Spec.Settings.Drill = &backup.DrillSettings{Schedule: backup.Schedule{Enabled: true}}
}

// drilled has the backup restored in weekly drills, of which the last one was successful
// unless change says otherwise.
func drilled(change func(d *facts.Drill)) func(*Subject) {
	return func(s *Subject) {
		s.Spec.Settings.Drill = &backup.DrillSettings{
			Schedule: backup.Schedule{Enabled: true, Cron: drill.DefaultCron, Zone: "UTC"}, TimeoutSeconds: 120, OverdueAfterSeconds: 15 * 86400,
			Tables: []drill.Table{{Live: [2]string{"public", "articles"}, Copy: [2]string{"public", "backup_articles"}}},
		}
		job := s.Spec.Jobs()[drill.JobKey]
		job.ID = 77
		s.Jobs = append(s.Jobs, job)
		s.Settings.UpdatedAt = s.Now.AddDate(0, -1, 0)
		d := &facts.Drill{State: facts.DrillSuccessful, StartedAt: s.Now.Add(-time.Hour)}
		s.Drills = &facts.Drills{Latest: d, Result: d}
		if change != nil {
			change(d)
		}
	}
}

// silentDrill has a daily drill that was due seven hours ago, and not begun for two days,
// unless change says otherwise.
func silentDrill(change func(s *Subject)) func(*Subject) {
	return func(s *Subject) {
		drilled(func(d *facts.Drill) { d.StartedAt = s.Now.AddDate(0, 0, -2) })(s)
		s.Spec.Settings.Drill.Cron, s.Spec.Settings.Drill.Zone, s.Spec.Settings.Drill.UTC = "0 5 * * *", "UTC", "0 5 * * *"
		s.Jobs[len(s.Jobs)-1].Schedule = "0 5 * * *"
		change(s)
	}
}
