package provider_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// superuser and owner run statements as somebody else in the project.
func superuser(statements string) func(*project) {
	return func(p *project) { p.sql("begin; " + statements + "; commit") }
}

func owner(statements string) func(*project) {
	return func(p *project) { p.asPostgres(statements) }
}

func driftOf(object string) string { return fmt.Sprintf("drift[%q]", object) }

// jobRows are what can happen to pg_cron's jobs: to that of a schedule and to
// the watchdog's.
func jobRows() []drift {
	var rows []drift
	for _, key := range []string{"nightly", "watchdog"} {
		name := "auto-backup-" + key
		job := fmt.Sprintf("jobs[%q]", key)
		double := func(role string) string { return fmt.Sprintf("jobs[%q]", key+"@"+role) }
		alter := func(change string) func(*project) {
			return owner("select cron.alter_job(jobid, " + change + ") from cron.job where jobname = '" + name + "'")
		}
		// Only a superuser can give a job to another role.
		copied := func(role string) func(*project) {
			return superuser("insert into cron.job (schedule, command, nodename, nodeport, database, username, active, jobname) " +
				"values ('0 6 * * *', 'select 1', 'localhost', 5432, 'postgres', '" + role + "', true, '" + name + "')")
		}
		moved := func(role string) func(*project) {
			return superuser("update cron.job set username = '" + role + "' where jobname = '" + name + "'")
		}
		object := "job `" + name + "`"
		rows = append(rows,
			drift{object: object, mutation: "removed", attributes: []string{job}, tamper: owner("select cron.unschedule('" + name + "')"), uses: key, both: true},
			drift{object: object, mutation: "another schedule", attributes: []string{job + ".utc"}, found: "0 4 * * *", tamper: alter("schedule := '0 4 * * *'"), both: true},
			drift{object: object, mutation: "another command", attributes: []string{job + ".command"}, found: "select 1", tamper: alter("command := 'select 1'")},
			drift{object: object, mutation: "deactivated", attributes: []string{job + ".active"}, found: "false", tamper: alter("active := false")},
			drift{object: object, mutation: "another database", attributes: []string{job + ".database"}, found: "template1", tamper: alter("database := 'template1'")},
			drift{object: object, mutation: "given to another role", attributes: []string{job + ".username", job + ".job_id"}, found: "other", tamper: moved("other"), uses: key, both: true},
			drift{object: object, mutation: "given to a role that does not exist any more, which stops all of pg_cron", attributes: []string{job + ".username", job + ".job_id"}, found: "gone", tamper: moved("gone"), uses: key, both: true},
			drift{object: object, mutation: "a second one of the same name under another role", attributes: []string{double("service_role")}, tamper: copied("service_role"), uses: key},
			drift{object: object, mutation: "a second one under a role that does not exist any more", attributes: []string{double("gone")}, tamper: copied("gone"), uses: key},
		)
		if key != "nightly" {
			continue
		}
		rows = append(rows,
			drift{object: object, mutation: "a second one under a superuser", attributes: []string{double("supabase_admin")}, tamper: copied("supabase_admin"),
				refused: `belongs to role supabase_admin, and postgres may not remove it`, statement: "select cron.unschedule(<id>)", both: true},
			drift{object: object, mutation: "a second one under a missing role of a reserved name", attributes: []string{double("pg_gone")}, tamper: copied("pg_gone"),
				refused: `pg_cron runs no job at all while this role does not exist`, statement: "delete from cron.job where jobid = <id>"},
		)
	}
	return rows
}

// settingsRows are what can happen to the backup's row in auto_backup.settings.
func settingsRows() []drift {
	const object = "settings row"
	set := func(path, value string) func(*project) {
		return owner("update auto_backup.settings set document = jsonb_set(document, '{" + path + "}', '" + value + "')")
	}
	const due = `jobs["nightly"].due`
	lost := []string{"function_url", "alert_url", "schedules", "function", "alert", "retry", due}
	return []drift{
		{object: object, mutation: "another time zone", attributes: []string{"timezone"}, found: "UTC", tamper: set("timezone", `"UTC"`), both: true},
		{object: object, mutation: "another cron expression", attributes: []string{`schedules["nightly"].cron`}, found: "0 4 * * *", tamper: set("schedules,nightly,cron", `"0 4 * * *"`)},
		{object: object, mutation: "another zone of one schedule", attributes: []string{`schedules["nightly"].timezone`}, found: "UTC", tamper: set("schedules,nightly,timezone", `"UTC"`)},
		{object: object, mutation: "a schedule switched off", attributes: []string{`schedules["nightly"].enabled`}, found: "false", tamper: set("schedules,nightly,enabled", "false")},
		{object: object, mutation: "a schedule added", attributes: []string{`schedules["weekly"]`}, tamper: owner("update auto_backup.settings set document = jsonb_set(document, '{schedules,weekly}', document #> '{schedules,nightly}')")},
		{object: object, mutation: "a schedule taken out", attributes: []string{`schedules["nightly"]`, due}, tamper: owner("update auto_backup.settings set document = document #- '{schedules,nightly}'"), uses: "document"},
		{object: object, mutation: "the compiled hours, while the cron text stays", attributes: []string{due}, tamper: set("schedules,nightly,hours", "[4]"), both: true},
		{object: object, mutation: "the compiled UTC schedule, while the cron text stays", attributes: []string{due}, tamper: set("schedules,nightly,utc", `"0 5 * * *"`)},
		{object: object, mutation: "a schedule that looks guarded", attributes: []string{due}, tamper: set("schedules,nightly,guarded", "true")},
		{object: object, mutation: "more retries", attributes: []string{"retry.attempts"}, found: "7", tamper: set("retry,attempts", "7")},
		{object: object, mutation: "a shorter pause before the retry", attributes: []string{"retry.delay"}, found: "1m", tamper: set("retry,delay_seconds", "60")},
		{object: object, mutation: "alerts switched off", attributes: []string{"alert.enabled"}, found: "false", tamper: set("alert,enabled", "false")},
		{object: object, mutation: "another alert function", attributes: []string{"alert.function"}, found: "mine", tamper: set("alert,function", `"mine"`)},
		{object: object, mutation: "another name of the alert's origin", attributes: []string{"alert.source"}, found: "x", tamper: set("alert,source", `"x"`)},
		{object: object, mutation: "a later moment at which a backup is overdue", attributes: []string{"alert.overdue_after"}, found: "1000h", tamper: set("alert,overdue_after_seconds", "3600000")},
		{object: object, mutation: "another SQL function to call", attributes: []string{"function.rpc"}, found: "mine", tamper: set("function,rpc", `"mine"`)},
		{object: object, mutation: "another table to verify", attributes: []string{"function.verify_table"}, found: "mine", tamper: set("function,verify_table", `"mine"`)},
		{object: object, mutation: "the address of another project's function, as after a clone or in a branch", attributes: []string{"function_url"}, found: "https://abcdefghijklmnopqrst.supabase.co/functions/v1/auto-backup",
			tamper: set("function,url", `"https://abcdefghijklmnopqrst.supabase.co/functions/v1/auto-backup"`), warns: `The database calls another project`, both: true},
		{object: object, mutation: "the address of another project's alert function", attributes: []string{"alert_url"}, found: "https://abcdefghijklmnopqrst.supabase.co/functions/v1/alert-processor",
			tamper: set("alert,url", `"https://abcdefghijklmnopqrst.supabase.co/functions/v1/alert-processor"`), warns: `The database calls another project`},
		{object: object, mutation: "the names of its secrets taken out", attributes: []string{driftOf("row auto-backup of table settings")}, found: "does not name the secrets of the backup any more: OTHER_KEY", tamper: set("secrets", "[]")},
		{object: object, mutation: "a value of another type", attributes: []string{"timezone"}, tamper: set("timezone", "7")},
		{object: object, mutation: "somebody else's ownership marker", attributes: []string{driftOf("row auto-backup of table settings")}, found: "without this provider's ownership marker", tamper: owner("update auto_backup.settings set owner = 'somebody'")},
		{object: object, mutation: "another Edge Function id", attributes: []string{driftOf("Edge Function auto-backup")}, tamper: owner("update auto_backup.settings set function_id = 'x'")},
		{object: object, mutation: "removed", attributes: append([]string{"function_url"}, lost[1:]...), found: "not installed", tamper: owner("delete from auto_backup.settings"), uses: "document", both: true},
		{object: object, mutation: "no JSON object any more", attributes: []string{
			"function_url", "alert_url", "timezone", `schedules["nightly"]`, "function.rpc", "alert.enabled", "alert.function", "alert.source", "alert.overdue_after",
			"retry.attempts", "retry.delay", due, driftOf("row auto-backup of table settings"),
		}, tamper: owner("update auto_backup.settings set document = '[]'"), uses: "document"},
		{object: "row in `auto_backup.installation`", mutation: "removed", attributes: []string{"dispatcher_version"}, found: "unknown: the row of auto_backup.installation is lost or not finished",
			tamper: owner("delete from auto_backup.installation")},
		{object: "row in `auto_backup.installation`", mutation: "another version", attributes: []string{"dispatcher_version"}, found: "0.0+00000000", tamper: owner("update auto_backup.installation set version = '0.0+00000000'")},
	}
}

// schemaRows are what can happen to the objects and grants of schema auto_backup.
func schemaRows() []drift {
	const (
		dispatch = "auto_backup.dispatch(text, text, timestamp with time zone)"
		judge    = "function judge(auto_backup.runs, jsonb, jsonb, jsonb, boolean, timestamp with time zone)"
	)
	one := func(object, mutation, at, found, statement string) drift {
		return drift{object: object, mutation: mutation, attributes: []string{driftOf(at)}, found: found, tamper: superuser(statement)}
	}
	leaving := func(rest, object, mutation, at, found, statement string) drift {
		d := one(object, mutation, at, found, statement)
		d.leaves = rest
		return d
	}
	const hostile = "set local role postgres; create or replace function auto_backup."
	rows := []drift{
		{object: "schema `auto_backup`", mutation: "dropped", attributes: append([]string{"dispatcher_version"}, "function_url", "alert_url", "schedules", "function", "alert", "retry", `jobs["nightly"].due`, "token_digest"),
			found: "not installed", tamper: superuser("drop schema auto_backup cascade"), both: true},
		{object: "schema `auto_backup`", mutation: "given to a superuser", attributes: []string{driftOf("schema")}, tamper: superuser("alter schema auto_backup owner to supabase_admin"),
			refused: "the schema auto_backup belongs to role supabase_admin, and postgres may not change it", statement: "alter schema auto_backup owner to postgres"},
		{object: "table `runs`", mutation: "given to a superuser", attributes: []string{driftOf("table runs")}, tamper: superuser("alter table auto_backup.runs owner to supabase_admin"),
			refused: "the table auto_backup.runs belongs to role supabase_admin, and postgres may not change it", statement: "alter table auto_backup.runs owner to postgres"},
		one("table `runs`", "given to another role", "table runs", "owner is other instead of postgres", "alter table auto_backup.runs owner to other"),
		one("table `runs`", "row level security switched on", "table runs", "row security is true instead of false", "alter table auto_backup.runs enable row level security"),
		one("table `watchdog`", "dropped", "table watchdog", "missing", "drop table auto_backup.watchdog"),
		one("table `leases`", "dropped", "table leases", "missing", "drop table auto_backup.leases"),
		{object: "table `runs`", mutation: "dropped with all that needs it", attributes: []string{driftOf("table runs"), driftOf("view history"), driftOf(judge)}, found: "missing",
			tamper: superuser("drop table auto_backup.runs cascade"), uses: "runs", both: true},
		{object: "column `runs.records`", mutation: "dropped with the view that shows it", attributes: []string{driftOf("column runs.records"), driftOf("view history")}, found: "missing",
			tamper: superuser("alter table auto_backup.runs drop column records cascade"), uses: "runs"},
		one("column `runs.posted_at`", "dropped", "column runs.posted_at", "missing", "alter table auto_backup.runs drop column posted_at"),
		one("column `runs.function_alert`", "another type", "column runs.function_alert", "type is character varying instead of text", "alter table auto_backup.runs alter column function_alert type varchar"),
		one("column `incidents.logged`", "its default dropped", "column incidents.logged", "default is unset instead of false", "alter table auto_backup.incidents alter column logged drop default"),
		leaving("cost numeric", "column of somebody else", "added so that every new row has to fill it", "column runs.cost", "not of this schema, and every new row has to fill it",
			"alter table auto_backup.runs add column cost numeric not null"),
		one("constraint `runs_once`", "dropped", "constraint runs.runs_once", "missing", "alter table auto_backup.runs drop constraint runs_once"),
		one("constraint `runs_state_check`", "another rule", "constraint runs.runs_state_check", "another definition",
			"alter table auto_backup.runs drop constraint runs_state_check, add constraint runs_state_check check (state <> 'running')"),
		one("constraint of somebody else", "added to a table of the dispatcher", "constraint incidents.mine", "not of this schema", "alter table auto_backup.incidents add constraint mine check (alert_attempts < 1)"),
		{object: "primary key of `settings`", mutation: "dropped with the keys that refer to it", attributes: []string{driftOf("constraint settings.settings_pkey"), driftOf("constraint incidents.incidents_backup_fkey"),
			driftOf("constraint schedules.schedules_backup_fkey"), driftOf("constraint watchdog.watchdog_backup_fkey")},
			found: "missing", tamper: superuser("alter table auto_backup.settings drop constraint settings_pkey cascade"), uses: "table watchdog"},
		one("index `runs_by_age`", "dropped", "index runs_by_age", "missing", "drop index auto_backup.runs_by_age"),
		one("index of somebody else", "a unique one added", "index mine", "not of this schema", "create unique index mine on auto_backup.schedules (since)"),
		one("trigger of somebody else", "added to a table of the dispatcher", "trigger incidents.stop", "not of this schema",
			"create function mine.stop() returns trigger language plpgsql as 'begin return null; end'; create trigger stop before insert on auto_backup.incidents for each row execute function mine.stop()"),
		one("rule of somebody else", "added to a table of the dispatcher", "rule schedules.stop", "not of this schema", "create rule stop as on insert to auto_backup.schedules do instead nothing"),
		one("view `history`", "dropped", "view history", "missing", "drop view auto_backup.history"),
		one("view `history`", "replaced by another one", "view history", "another columns, another definition", "drop view auto_backup.history; set local role postgres; create view auto_backup.history as select 1 as one"),
		one("function `token`", "another body", "function token(text)", "another body", hostile+"token(backup text) returns text language plpgsql set search_path = '' as 'begin return ''x''; end'"),
		one("function `plain`", "dropped", "function plain(text, integer)", "missing", "drop function auto_backup.plain(text, integer)"),
		one("function `token_digest`", "no longer with its owner's rights", "function token_digest(text)", "security is invoker instead of definer", "alter function auto_backup.token_digest(text) security invoker"),
		one("function `dispatch`", "its search path unset", "function dispatch(text, text, timestamp with time zone)", "settings is lock_timeout=10s instead of search_path=\"\", lock_timeout=10s", "alter function "+dispatch+" reset search_path"),
		one("function `watch`", "given to a superuser", "function watch(text, timestamp with time zone)", "owner is supabase_admin instead of postgres", "alter function auto_backup.watch(text, timestamptz) owner to supabase_admin"),
		{object: "function `json`", mutation: "another result", attributes: []string{driftOf("function json(text)"), driftOf("grants to public")}, tamper: superuser("drop function auto_backup.json(text); set local role postgres; create function auto_backup.json(content text) returns text language sql as 'select $1'")},
		one("function `dispatch`", "a second one beside it, which the jobs would call", "function dispatch(text, text)", "not of this schema", hostile+"dispatch(text, text) returns uuid language sql as 'select null::uuid'"),
		one("function `drift`", "silenced", "function drift", "another body", hostile+"drift() returns jsonb language sql as $$ select '{}'::jsonb $$"),
		one("grants", "`anon` may use the schema and read the token", "grants to anon", "has EXECUTE on token(text); has USAGE on the schema",
			"grant usage on schema auto_backup to anon; grant execute on function auto_backup.token(text) to anon"),
		one("grants", "everybody may read the history", "grants to public", "has SELECT on history", "grant select on auto_backup.history to public"),
		one("grants", "`authenticated` may read a column", "grants to authenticated", "has SELECT on settings.document", "grant select (document) on auto_backup.settings to authenticated"),
		one("grants", "the role that plans may not compare the token", "grants to supabase_read_only_user", "lacks EXECUTE on token_digest(text)", "revoke execute on function auto_backup.token_digest(text) from supabase_read_only_user"),
		one("grants", "`postgres` may not run its own function", "grants to postgres", "lacks EXECUTE on token(text)", "revoke execute on function auto_backup.token(text) from postgres"),
	}
	for i := range rows {
		switch rows[i].attributes[0] {
		case driftOf("function drift"), "dispatcher_version":
			// Nothing else is seen while the comparison itself is lost.
			rows[i].alone = true
		case driftOf("view history"), driftOf("grants to public"):
			rows[i].uses = "runs"
		case driftOf("function token_digest(text)"), driftOf("grants to supabase_read_only_user"):
			// The digest is not asked for.
			rows[i].attributes = append(rows[i].attributes, "token_digest")
		case driftOf("table watchdog"):
			rows[i].uses = "table watchdog"
		case driftOf("grants to anon"), driftOf("function token(text)"):
			rows[i].both = true
		}
	}
	return rows
}

// functionRows are what can happen to the Edge Function, to the secrets on both
// sides, to the log's CHECK and to the extensions.
func functionRows() []drift {
	deploy := func(change func(files map[string][]byte), entrypoint, importMap string) func(*project) {
		return func(p *project) {
			files := map[string][]byte{}
			for name, content := range sourceOf(p) {
				files["by-hand/"+name] = []byte(content)
			}
			change(files)
			deployment := supabase.Deployment{Slug: "auto-backup", Name: "auto-backup", Entrypoint: "by-hand/" + entrypoint, Files: files}
			if importMap != "" {
				deployment.ImportMap = "by-hand/" + importMap
			}
			if _, err := p.client().DeployFunction(p.t.Context(), p.ProjectRef, deployment); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	vault := func(change string) func(*project) {
		return owner("do $$ begin perform vault.update_secret(id, " + change + ") from vault.secrets where name = 'auto-backup/token'; end $$")
	}
	deleteSecrets := func(names ...string) func(*project) {
		return func(p *project) {
			if err := p.client().DeleteSecrets(p.t.Context(), p.ProjectRef, names); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	status := func(status string) func(*project) {
		return func(p *project) {
			if err := p.SetFunctionStatus("auto-backup", status); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	both := func(first, second func(*project)) func(*project) { return func(p *project) { first(p); second(p) } }
	remove := func(p *project) {
		if err := p.client().DeleteFunction(p.t.Context(), p.ProjectRef, "auto-backup"); err != nil {
			p.t.Fatal(err)
		}
	}
	const (
		function = "Edge Function"
		check    = "CHECK of `backup_logs`"
		narrow   = "check (action_type in ('backup', 'restore', 'export', 'import')) not valid"
	)
	missing := []string{"function_status", "function_verify_jwt", "function_entrypoint", "function_revision"}
	for _, file := range builtInFiles() {
		missing = append(missing, fmt.Sprintf("source_files[%q]", file))
	}
	return []drift{
		{object: function, mutation: "deleted", attributes: missing, found: "missing", tamper: remove, uses: function, both: true},
		{object: function, mutation: "status REMOVED", attributes: missing, found: "missing", tamper: status("REMOVED"), uses: function},
		{object: function, mutation: "status THROTTLED", attributes: []string{"function_status", "function_revision"}, found: "THROTTLED", tamper: status("THROTTLED"), uses: function},
		{object: function, mutation: "`verify_jwt` switched on", attributes: []string{"function_verify_jwt", "function_revision"}, found: "true", tamper: func(p *project) {
			verify := true
			if _, err := p.client().UpdateFunction(p.t.Context(), p.ProjectRef, "auto-backup", supabase.FunctionUpdate{VerifyJWT: &verify}); err != nil {
				p.t.Fatal(err)
			}
		}, uses: function, both: true},
		{object: function, mutation: "a file edited", attributes: []string{`source_files["handler.ts"]`, "function_revision"}, tamper: deploy(func(files map[string][]byte) {
			files["by-hand/handler.ts"] = append(files["by-hand/handler.ts"], "\n// edited by hand\n"...)
		}, "index.ts", ""), uses: function, both: true},
		{object: function, mutation: "a file added", attributes: []string{`source_files["more.ts"]`, `source_files["index.ts"]`, "function_revision"}, tamper: deploy(func(files map[string][]byte) {
			files["by-hand/more.ts"] = []byte("export const more = true;\n")
			files["by-hand/index.ts"] = append([]byte("import \"./more.ts\";\n"), files["by-hand/index.ts"]...)
		}, "index.ts", ""), uses: function},
		{object: function, mutation: "replaced by one file", attributes: []string{`source_files["index.ts"]`, "function_revision"}, tamper: deploy(func(files map[string][]byte) {
			clear(files)
			files["by-hand/index.ts"] = []byte("Deno.serve(() => new Response())")
		}, "index.ts", ""), uses: function},
		{object: function, mutation: "another entry point", attributes: []string{"function_entrypoint", `source_files["main.ts"]`, "function_revision"}, found: "main.ts", tamper: deploy(func(files map[string][]byte) {
			files["by-hand/main.ts"] = []byte("import \"./index.ts\";\n")
		}, "main.ts", ""), uses: function},
		{object: function, mutation: "an import map", attributes: []string{"function_import_map", "function_revision"}, found: "deno.json", tamper: deploy(func(files map[string][]byte) {
			files["by-hand/deno.json"] = []byte(`{"imports": {}}`)
		}, "index.ts", "deno.json"), uses: function},
		{object: function, mutation: "deleted and made anew by hand", attributes: []string{driftOf("Edge Function auto-backup")}, tamper: func(p *project) {
			files := sourceOf(p)
			remove(p)
			if err := p.DeployFunction(p.t.Context(), "auto-backup", files, false); err != nil {
				p.t.Fatal(err)
			}
		}, uses: function},

		{object: "token in the vault", mutation: "another value", attributes: []string{"token_digest"}, found: "the vault and the function hold different tokens", tamper: vault("'by-hand'"), both: true},
		{object: "token in the vault", mutation: "removed", attributes: []string{"token_digest"}, found: "missing in the vault", tamper: owner("delete from vault.secrets where name = 'auto-backup/token'")},
		{object: "token in the vault", mutation: "renamed", attributes: []string{"token_digest", driftOf("vault secret renamed")}, found: "missing in the vault", tamper: vault("new_name := 'renamed'")},
		{object: "token in the vault", mutation: "its ownership marker overwritten", attributes: []string{driftOf("vault secret auto-backup/token")}, found: "without this provider's ownership marker", tamper: vault("new_description := 'mine'"), both: true},
		{object: "token in the vault", mutation: "not to be decrypted, as after a restore into another project", attributes: []string{"token_digest"}, found: "missing in the vault",
			tamper: superuser("update vault.secrets set secret = encode('\\x00', 'base64') where name = 'auto-backup/token'")},
		{object: "alert key in the vault", mutation: "removed", attributes: []string{driftOf("vault secret auto-backup/alert-key")}, found: "missing", tamper: owner("delete from vault.secrets where name = 'auto-backup/alert-key'")},
		{object: "alert key in the vault", mutation: "its ownership marker overwritten", attributes: []string{driftOf("vault secret auto-backup/alert-key")}, found: "without this provider's ownership marker",
			tamper: owner("do $$ begin perform vault.update_secret(id, new_description := 'mine') from vault.secrets where name = 'auto-backup/alert-key'; end $$")},
		{object: "secret `AUTO_BACKUP_TOKEN`", mutation: "another value", attributes: []string{"token_digest"}, found: "the vault and the function hold different tokens",
			tamper: func(p *project) { p.overwriteSecret("AUTO_BACKUP_TOKEN", "by-hand") }},
		{object: "secret `AUTO_BACKUP_TOKEN`", mutation: "removed", attributes: []string{"token_digest"}, found: "missing in the function's secrets", tamper: deleteSecrets("AUTO_BACKUP_TOKEN")},
		{object: "secret `AUTO_BACKUP_TOKEN_NEXT`", mutation: "left over", attributes: []string{"token_digest"}, found: "a rotation is unfinished",
			tamper: func(p *project) { p.overwriteSecret("AUTO_BACKUP_TOKEN_NEXT", "left-over") }},
		{object: "both tokens", mutation: "removed", attributes: []string{"token_digest"}, found: "missing", tamper: both(owner("delete from vault.secrets where name = 'auto-backup/token'"), deleteSecrets("AUTO_BACKUP_TOKEN"))},
		{object: "extra secret", mutation: "another value", attributes: []string{`secret_fingerprints["OTHER_KEY"]`}, tamper: func(p *project) { p.overwriteSecret("OTHER_KEY", "second") }, both: true},
		{object: "extra secret", mutation: "removed", attributes: []string{`secret_fingerprints["OTHER_KEY"]`}, tamper: deleteSecrets("OTHER_KEY")},

		{object: check, mutation: "narrowed again", attributes: []string{"log_accepts_auto_backup"}, found: "false", warns: "A CHECK of the application is widened", both: true,
			tamper: superuser("alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint backup_logs_action_type_check " + narrow)},
		{object: check, mutation: "replaced by a narrow one of another name", attributes: []string{"log_accepts_auto_backup"}, found: "false",
			tamper: superuser("alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint mine " + narrow)},
		{object: "extension `pg_net`", mutation: "dropped", attributes: []string{driftOf("extension pg_net")}, found: "missing", tamper: superuser("drop extension pg_net cascade"), uses: "extension"},
		{object: "extension `pg_cron`", mutation: "dropped, and all jobs with it", attributes: []string{driftOf("extension pg_cron"), `jobs["nightly"]`, `jobs["watchdog"]`}, found: "missing",
			tamper: superuser("drop extension pg_cron cascade"), uses: "extension"},
		{object: "extension `supabase_vault`", mutation: "dropped, and all its secrets with it", attributes: []string{driftOf("extension supabase_vault"), "token_digest", driftOf("vault secret auto-backup/alert-key")}, found: "missing",
			tamper: superuser("drop extension supabase_vault cascade"), uses: "extension"},
	}
}

// sourceOf is the deployed source, by path beside the entry point.
func sourceOf(p *project) map[string]string {
	files := map[string]string{}
	for name, content := range p.FunctionFiles("auto-backup") {
		files[path.Base(name)] = content
	}
	return files
}

// builtInFiles are the files of the built-in function.
func builtInFiles() []string {
	source, err := payload.Function(payload.FunctionConfig{})
	if err != nil {
		panic(err)
	}
	return slices.Sorted(maps.Keys(source.Files))
}

// steadyRows are what is no drift.
func steadyRows() []steady {
	redeploy := func(p *project, directory string, name string) {
		files := map[string][]byte{}
		for file, content := range sourceOf(p) {
			files[directory+"/"+file] = []byte(content)
		}
		if _, err := p.client().DeployFunction(p.t.Context(), p.ProjectRef, supabase.Deployment{Slug: "auto-backup", Name: name, Entrypoint: directory + "/index.ts", Files: files}); err != nil {
			p.t.Fatal(err)
		}
	}
	with := func(more string) string { return driftArguments + "\n" + more }
	return []steady{
		{what: "The same source deployed by hand", do: func(p *project) { redeploy(p, "supabase/functions/auto-backup", "auto-backup") }},
		{what: "The same source deployed from another directory", do: func(p *project) { redeploy(p, "x", "auto-backup") }},
		{what: "Another display name of the Edge Function", do: func(p *project) {
			name := "Nightly"
			if _, err := p.client().UpdateFunction(p.t.Context(), p.ProjectRef, "auto-backup", supabase.FunctionUpdate{Name: &name}); err != nil {
				p.t.Fatal(err)
			}
		}},
		{what: "The function's `version` jumps without a deployment", do: func(p *project) {
			p.InterceptAPI(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/functions") {
						next.ServeHTTP(w, r)
						return
					}
					answer := httptest.NewRecorder()
					next.ServeHTTP(answer, r)
					maps.Copy(w.Header(), answer.Header())
					w.Header().Del("Content-Length")
					w.WriteHeader(answer.Code)
					_, _ = w.Write([]byte(strings.ReplaceAll(answer.Body.String(), `"version":`, `"version":4711`)))
				})
			})
		}},
		{what: "Another Edge Function", do: func(p *project) {
			if err := p.DeployFunction(p.t.Context(), "somebody-elses", map[string]string{"index.ts": "Deno.serve(() => new Response())"}, true); err != nil {
				p.t.Fatal(err)
			}
		}},
		{what: "Another function secret", do: func(p *project) { p.overwriteSecret("SOMEBODY_ELSES", "value") }},
		{what: "Another vault secret", do: owner("select vault.create_secret('value', 'somebody-elses', 'theirs')")},
		{what: "Another job", do: owner("select cron.schedule('another', '0 0 1 1 *', 'select 1')")},
		{what: "A job of another role, of another name", do: superuser("insert into cron.job (schedule, command, nodename, nodeport, database, username, active, jobname) values ('0 0 1 1 *', 'select 1', 'localhost', 5432, 'postgres', 'other', true, 'theirs')")},
		{what: "Old backup jobs deactivated or removed", do: owner("select cron.unschedule('auto-backup-secondary'); select cron.alter_job(jobid, active := false) from cron.job where jobname = 'auto-backup-daily'")},
		{what: "A job made anew by hand just as it was, under another id", do: owner("select cron.unschedule('auto-backup-nightly'); select cron.schedule('auto-backup-nightly', '0 6 * * *', $$select auto_backup.dispatch('auto-backup', 'nightly')$$)")},
		{what: "A finished run of the backup, with its rows in the ledger and in the logs", do: func(p *project) {
			p.asPostgres("do $$ begin perform auto_backup.start('auto-backup', 'nightly', 'manual', now(), 1); end $$")
			p.await("1", "select count(*) from public.system_logs where type = 'auto_backup'")
			p.asPostgres("do $$ begin perform auto_backup.watch('auto-backup'); end $$")
		}},
		{what: "Rows of other actions in the application's logs", do: superuser("insert into public.backup_logs (action_type, details) values ('backup', 'manual'); insert into public.system_logs (type, message) values ('x', 'y')")},
		{what: "Old rows of the ledger pruned", do: owner("delete from auto_backup.incidents; delete from auto_backup.runs")},
		{what: "The history of pg_cron pruned", do: superuser("delete from cron.job_run_details")},
		{what: "The answers of pg_net pruned", do: superuser("truncate net._http_response")},
		{what: "`updated_at` of the settings row", do: owner("update auto_backup.settings set updated_at = now() + interval '1 day'")},
		{what: "A key in the settings row that nobody reads", do: owner(`update auto_backup.settings set document = document || '{"note": "mine"}'`)},
		{what: "The CHECK of `backup_logs` made anew from PostgreSQL's own text of it", do: superuser(`do $$ declare rule text := (select pg_get_constraintdef(oid) from pg_constraint where conname = 'backup_logs_action_type_check'); begin
			execute 'alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint backup_logs_action_type_check ' || rule; end $$`)},
		{what: "The CHECK of `backup_logs` validated", do: superuser("alter table public.backup_logs validate constraint backup_logs_action_type_check")},
		{what: "Another CHECK of `backup_logs` that admits the backup's rows", do: superuser("alter table public.backup_logs add constraint mine check (records_affected >= 0) not valid")},
		{what: "Schema `auto_backup` dumped and restored with its rows", do: dumpAndRestore},
		{what: "Statistics", do: superuser("analyze")},
		{what: "VACUUM FULL", do: func(p *project) { p.sql("vacuum full auto_backup.runs") }},
		{what: "REINDEX", do: func(p *project) { p.sql("reindex schema auto_backup") }},
		{what: "Comments on objects of both", do: superuser("comment on table auto_backup.runs is 'mine'; comment on function auto_backup.token(text) is 'mine'; comment on table public.backup_logs is 'mine'")},
		{what: "A grant to a role of your own", do: superuser("grant usage on schema auto_backup to other; grant select on auto_backup.history to other")},
		{what: "A table, a function, a column and an index of your own in schema `auto_backup`", do: owner("create table auto_backup.mine (id int primary key); create function auto_backup.mine() returns int language sql as 'select 1'; alter table auto_backup.runs add column note text; create index mine_by_note on auto_backup.runs (note)")},
		{what: "A view of your own over the history", do: owner("create view mine.failures as select * from auto_backup.history where state = 'failed'")},
		{what: "Another version of an extension", do: superuser("update pg_extension set extversion = extversion || '.1' where extname in ('pg_cron', 'pg_net', 'supabase_vault')")},
		{what: "Another extension", do: superuser("create extension if not exists citext with schema extensions")},
		{what: "Settings of PostgreSQL, its search path and time zone among them", do: func(p *project) {
			for _, setting := range []string{"search_path = auto_backup, public", "timezone = 'Asia/Tokyo'", "datestyle = 'German, DMY'", "quote_all_identifiers = on", "extra_float_digits = 0", "bytea_output = 'escape'", "intervalstyle = 'iso_8601'"} {
				p.sql("alter role postgres set " + setting)
			}
		}},
		{what: "A restart of PostgreSQL", do: func(p *project) {
			if err := p.RestartPostgres(p.t.Context(), false); err != nil {
				p.t.Fatal(err)
			}
		}},
		{what: "A plan by a token and a role that may only read", reader: true},
		{what: "White space, comments and the order of arguments in the configuration", arguments: `
			verify = "none" # none
			secrets = { "OTHER_KEY" : "first", }

			schedules = {
				nightly = {
					enabled = true
					cron    = "0 3 * * *"
				}
			}`},
		{what: "Defaults that are written out", arguments: with(`
			name = "auto-backup"
			timezone = "America/Sao_Paulo"
			function = { rpc = "backup_all_data" }
			alert = { enabled = true, function = "alert-processor", source = "Falha no Backup Automático" }
			retry = { attempts = 1, delay = "10m" }
			log_constraint = "extend"
			adopt_existing = false`)},
		{what: "A duration written in another way", arguments: with(`
			retry = { delay = "600s" }
			alert = { overdue_after = "1560m" }`)},
	}
}

// dumpAndRestore does to schema auto_backup what moves a database.
func dumpAndRestore(p *project) {
	p.t.Helper()
	bin, err := stack.PostgresBin()
	if err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.t.TempDir(), "dump")
	for _, command := range [][]string{
		{"pg_dump", "--format=custom", "--schema=auto_backup", "--file=" + file, "--dbname=" + p.AdminDatabaseURL},
		{"pg_restore", "--clean", "--exit-on-error", "--dbname=" + p.AdminDatabaseURL, file},
	} {
		run := exec.CommandContext(p.t.Context(), filepath.Join(bin, command[0]), command[1:]...)
		if out, err := run.CombinedOutput(); err != nil {
			p.t.Fatalf("%s: %v\n%s", command[0], err, out)
		}
	}
}
