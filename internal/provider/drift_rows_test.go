package provider_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// superuser and owner run statements as somebody else in the project.
func superuser(statements string) func(*project) {
	return func(p *project) { p.sql("begin; " + statements + "; commit") }
}

func owner(statements string) func(*project) {
	return func(p *project) { p.asPostgres(statements) }
}

// jobRows are what can happen to pg_cron's jobs: to that of a schedule, to the
// drill's and to the watchdog's.
func jobRows() []drift {
	var rows []drift
	for _, key := range []string{"nightly", "drill", "watchdog"} {
		name := "auto-backup-" + key
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
			drift{object: object, mutation: "removed", tamper: owner("select cron.unschedule('" + name + "')"), uses: key, both: true},
			drift{object: object, mutation: "another schedule", tamper: alter("schedule := '0 4 * * *'"), both: true},
			drift{object: object, mutation: "another command", tamper: alter("command := 'select 1'")},
			drift{object: object, mutation: "deactivated", tamper: alter("active := false")},
			drift{object: object, mutation: "another database", tamper: alter("database := 'template1'")},
			drift{object: object, mutation: "given to another role", tamper: moved("other"), uses: key, both: true},
			drift{object: object, mutation: "given to a role that no longer exists, which stops all of pg_cron", tamper: moved("gone"), uses: key, both: true},
			drift{object: object, mutation: "a second one with the same name under another role", tamper: copied("service_role"), uses: key},
			drift{object: object, mutation: "a second one under a role that no longer exists", tamper: copied("gone"), uses: key},
		)
		if key != "nightly" {
			continue
		}
		rows = append(rows,
			drift{object: object, mutation: "a second one under a superuser", tamper: copied("supabase_admin"),
				refused: `belongs to role supabase_admin, and postgres may not remove it`, statement: "select cron.unschedule(<id>)", both: true},
			drift{object: object, mutation: "a second one under a missing role with a reserved name", tamper: copied("pg_gone"),
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
	return []drift{
		{object: object, mutation: "another time zone", tamper: set("timezone", `"UTC"`), both: true},
		{object: object, mutation: "another cron expression", tamper: set("schedules,nightly,cron", `"0 4 * * *"`)},
		{object: object, mutation: "another time zone of one schedule", tamper: set("schedules,nightly,timezone", `"UTC"`)},
		{object: object, mutation: "a schedule disabled", tamper: set("schedules,nightly,enabled", "false")},
		{object: object, mutation: "a schedule added", tamper: owner("update auto_backup.settings set document = jsonb_set(document, '{schedules,weekly}', document #> '{schedules,nightly}')")},
		{object: object, mutation: "a schedule removed", tamper: owner("update auto_backup.settings set document = document #- '{schedules,nightly}'"), uses: "document"},
		{object: object, mutation: "the compiled hours, with the same cron text", tamper: set("schedules,nightly,hours", "[4]"), both: true},
		{object: object, mutation: "the compiled UTC schedule, with the same cron text", tamper: set("schedules,nightly,utc", `"0 5 * * *"`)},
		{object: object, mutation: "a schedule marked as guarded", tamper: set("schedules,nightly,guarded", "true")},
		{object: object, mutation: "more retries", tamper: set("retry,attempts", "7")},
		{object: object, mutation: "a shorter delay before the retry", tamper: set("retry,delay_seconds", "60")},
		{object: object, mutation: "alerts disabled", tamper: set("alert,enabled", "false")},
		{object: object, mutation: "another alert function", tamper: set("alert,function", `"mine"`)},
		{object: object, mutation: "another source of the alert", tamper: set("alert,source", `"x"`)},
		{object: object, mutation: "a longer time until a backup is overdue", tamper: set("alert,overdue_after_seconds", "3600000")},
		{object: object, mutation: "another cron expression of the restore drill", tamper: set("drill,cron", `"0 4 1 * *"`), both: true},
		{object: object, mutation: "the restore drill disabled", tamper: set("drill,enabled", "false")},
		{object: object, mutation: "a shorter time limit of the restore drill", tamper: set("drill,timeout_seconds", "1")},
		{object: object, mutation: "fewer rows for the restore drill to read", tamper: set("drill,max_rows", "7")},
		{object: object, mutation: "the tables of the restore drill removed", tamper: set("drill,tables", "[]")},
		{object: object, mutation: "a column that the restore drill requires", tamper: set("drill,require_columns", `[["public", "articles", "title"]]`)},
		{object: object, mutation: "the restore drill removed", tamper: owner("update auto_backup.settings set document = document - 'drill'"), alone: true},
		{object: object, mutation: "another bucket for the off-site copies", tamper: set("offsite,destinations,aws,bucket", `"theirs"`), both: true},
		{object: object, mutation: "another key to which the copies are encrypted", tamper: set("offsite,destinations,aws,recipients,0", `"AAAA"`)},
		{object: object, mutation: "a shorter lock of the copies", tamper: set("offsite,destinations,aws,lock,days", "1")},
		{object: object, mutation: "the tables of the copies removed", tamper: set("offsite,tables", "[]")},
		{object: object, mutation: "another destination of copies", tamper: set("offsite,destinations,theirs", "{}")},
		{object: object, mutation: "the destinations of copies removed", tamper: owner("update auto_backup.settings set document = document - 'offsite'"), alone: true},
		{object: object, mutation: "another form of the heartbeat", tamper: set("heartbeat,form", `"plain"`)},
		{object: object, mutation: "fewer events of a webhook", tamper: set("webhooks,ops,events", `["drill"]`)},
		{object: object, mutation: "another webhook", tamper: set("webhooks,theirs", "{}")},
		{object: object, mutation: "the heartbeat and the webhooks removed", tamper: owner("update auto_backup.settings set document = document - 'heartbeat' - 'webhooks'")},
		{object: object, mutation: "another SQL function to call", tamper: set("function,rpc", `"mine"`)},
		{object: object, mutation: "another table to verify", tamper: set("function,verify_table", `"mine"`)},
		{object: object, mutation: "the URL of another project's function, as after a clone or in a branch",
			tamper: set("function,url", `"https://abcdefghijklmnopqrst.supabase.co/functions/v1/auto-backup"`), warns: `The database calls another project`, both: true},
		{object: object, mutation: "the URL of another project's alert function",
			tamper: set("alert,url", `"https://abcdefghijklmnopqrst.supabase.co/functions/v1/alert-processor"`), warns: `The database calls another project`},
		{object: object, mutation: "the names of its secrets removed", tamper: set("secrets", "[]")},
		{object: object, mutation: "a value of another type", tamper: set("timezone", "7")},
		{object: object, mutation: "another ownership marker", tamper: owner("update auto_backup.settings set owner = 'somebody'")},
		{object: object, mutation: "another Edge Function ID", tamper: owner("update auto_backup.settings set function_id = 'x'")},
		{object: object, mutation: "removed", tamper: owner("delete from auto_backup.settings"), alone: true, both: true},
		{object: object, mutation: "no longer a JSON object", tamper: owner("update auto_backup.settings set document = '[]'"), alone: true},
		{object: "row in `auto_backup.installation`", mutation: "removed",
			tamper: owner("delete from auto_backup.installation")},
		{object: "row in `auto_backup.installation`", mutation: "another version", tamper: owner("update auto_backup.installation set version = '0.0+00000000'")},
	}
}

// schemaRows are what can happen to the objects and grants of schema auto_backup.
func schemaRows() []drift {
	const (
		dispatch = "auto_backup.dispatch(text, text, timestamp with time zone)"
	)
	one := func(object, mutation, statement string) drift {
		return drift{object: object, mutation: mutation, tamper: superuser(statement)}
	}
	leaving := func(rest, object, mutation, statement string) drift {
		d := one(object, mutation, statement)
		d.leaves = rest
		return d
	}
	const hostile = "set local role postgres; create or replace function auto_backup."
	rows := []drift{
		{object: "schema `auto_backup`", mutation: "dropped", tamper: superuser("drop schema auto_backup cascade"), both: true},
		{object: "schema `auto_backup`", mutation: "given to a superuser", tamper: superuser("alter schema auto_backup owner to supabase_admin"),
			refused: "the schema auto_backup belongs to role supabase_admin, and postgres may not change it", statement: "alter schema auto_backup owner to postgres"},
		{object: "table `runs`", mutation: "given to a superuser", tamper: superuser("alter table auto_backup.runs owner to supabase_admin"),
			refused: "the table auto_backup.runs belongs to role supabase_admin, and postgres may not change it", statement: "alter table auto_backup.runs owner to postgres"},
		one("table `runs`", "given to another role", "alter table auto_backup.runs owner to other"),
		one("table `runs`", "row level security enabled", "alter table auto_backup.runs enable row level security"),
		one("table `watchdog`", "dropped", "drop table auto_backup.watchdog"),
		one("table `leases`", "dropped", "drop table auto_backup.leases"),
		one("rows of table `codes`", "one changed, one removed", "update auto_backup.codes set advice = 'x' where code = 'http_402'; delete from auto_backup.codes where sqlstate = '57014'"),
		{object: "table `runs`", mutation: "dropped with everything that depends on it",
			tamper: superuser("drop table auto_backup.runs cascade"), uses: "runs", both: true},
		{object: "column `runs.records`", mutation: "dropped with the view that shows it",
			tamper: superuser("alter table auto_backup.runs drop column records cascade"), uses: "runs"},
		{object: "column `settings.document`", mutation: "dropped", tamper: superuser("alter table auto_backup.settings drop column document cascade"), alone: true},
		one("column `runs.posted_at`", "dropped", "alter table auto_backup.runs drop column posted_at"),
		one("column `runs.posted_at`", "another type", "alter table auto_backup.runs alter column posted_at type timestamp"),
		one("column `incidents.logged`", "its default dropped", "alter table auto_backup.incidents alter column logged drop default"),
		leaving("cost numeric", "additional column", "added as required in every new row",
			"alter table auto_backup.runs add column cost numeric not null"),
		one("constraint `runs_once`", "dropped", "alter table auto_backup.runs drop constraint runs_once"),
		one("constraint `runs_state_check`", "another rule",
			"alter table auto_backup.runs drop constraint runs_state_check, add constraint runs_state_check check (state <> 'running')"),
		one("additional constraint", "added to a table of the dispatcher", "alter table auto_backup.incidents add constraint mine check (alert_attempts < 1)"),
		{object: "primary key of `settings`", mutation: "dropped with the keys that refer to it", tamper: superuser("alter table auto_backup.settings drop constraint settings_pkey cascade"), uses: "table watchdog"},
		one("index `runs_by_age`", "dropped", "drop index auto_backup.runs_by_age"),
		one("additional index", "a unique one added", "create unique index mine on auto_backup.schedules (since)"),
		one("additional trigger", "added to a table of the dispatcher",
			"create function mine.stop() returns trigger language plpgsql as 'begin return null; end'; create trigger stop before insert on auto_backup.incidents for each row execute function mine.stop()"),
		one("additional rule", "added to a table of the dispatcher", "create rule stop as on insert to auto_backup.schedules do instead nothing"),
		one("view `history`", "dropped", "drop view auto_backup.history"),
		one("view `history`", "replaced by a different one", "drop view auto_backup.history; set local role postgres; create view auto_backup.history as select 1 as one"),
		one("function `token`", "another body", hostile+"token(backup text) returns text language plpgsql set search_path = '' as 'begin return ''x''; end'"),
		one("function `plain`", "dropped", "drop function auto_backup.plain(text, integer)"),
		one("function `token_digest`", "no longer with its owner's privileges", "alter function auto_backup.token_digest(text) security invoker"),
		one("function `dispatch`", "its search path reset", "alter function "+dispatch+" reset search_path"),
		one("function `watch`", "given to a superuser", "alter function auto_backup.watch(text, timestamptz) owner to supabase_admin"),
		{object: "function `json`", mutation: "another result", tamper: superuser("drop function auto_backup.json(text); set local role postgres; create function auto_backup.json(content text) returns text language sql as 'select $1'")},
		one("function `dispatch`", "a second one with the same name, which the jobs would call", hostile+"dispatch(text, text) returns uuid language sql as 'select null::uuid'"),
		one("function `drift`", "silenced", hostile+"drift() returns jsonb language sql as $$ select '{}'::jsonb $$"),
		one("grants", "`anon` may use the schema and read the token",
			"grant usage on schema auto_backup to anon; grant execute on function auto_backup.token(text) to anon"),
		one("grants", "everybody may read the history", "grant select on auto_backup.history to public"),
		one("grants", "`authenticated` may read a column", "grant select (document) on auto_backup.settings to authenticated"),
		one("function `key_digest`", "no longer with its owner's privileges", "alter function auto_backup.key_digest(text) security invoker"),
		one("grants", "the role that plans may not compare the watchdog's key", "revoke execute on function auto_backup.key_digest(text) from supabase_read_only_user"),
		one("function `channel_digests`", "no longer with its owner's privileges", "alter function auto_backup.channel_digests(text) security invoker"),
		one("grants", "the role that plans may not compare the URLs of the heartbeat and the webhooks", "revoke execute on function auto_backup.channel_digests(text) from supabase_read_only_user"),
		one("grants", "the role that plans may not compare the token", "revoke execute on function auto_backup.token_digest(text) from supabase_read_only_user"),
		one("grants", "`postgres` may not run its own function", "revoke execute on function auto_backup.token(text) from postgres"),
	}
	for i := range rows {
		switch row := &rows[i]; row.String() {
		case "function `drift`: silenced", "schema `auto_backup`: dropped", "schema `auto_backup`: given to a superuser":
			// Nothing else is seen while the comparison itself is lost.
			row.alone = true
		case "view `history`: dropped", "view `history`: replaced by a different one", "grants: everybody may read the history":
			row.uses = "runs"
		case "table `watchdog`: dropped":
			row.uses = "table watchdog"
		case "grants: `anon` may use the schema and read the token", "function `token`: another body":
			row.both = true
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
	return []drift{
		{object: function, mutation: "deleted", tamper: remove, uses: function, both: true},
		{object: function, mutation: "status REMOVED", tamper: status("REMOVED"), uses: function},
		{object: function, mutation: "status THROTTLED", tamper: status("THROTTLED"), uses: function},
		{object: function, mutation: "`verify_jwt` enabled", tamper: func(p *project) {
			verify := true
			if _, err := p.client().UpdateFunction(p.t.Context(), p.ProjectRef, "auto-backup", supabase.FunctionUpdate{VerifyJWT: &verify}); err != nil {
				p.t.Fatal(err)
			}
		}, uses: function, both: true},
		{object: function, mutation: "a file edited", tamper: deploy(func(files map[string][]byte) {
			files["by-hand/handler.ts"] = append(files["by-hand/handler.ts"], "\n// edited by hand\n"...)
		}, "index.ts", ""), uses: function, both: true},
		{object: function, mutation: "a file added", tamper: deploy(func(files map[string][]byte) {
			files["by-hand/more.ts"] = []byte("export const more = true;\n")
			files["by-hand/index.ts"] = append([]byte("import \"./more.ts\";\n"), files["by-hand/index.ts"]...)
		}, "index.ts", ""), uses: function},
		{object: function, mutation: "replaced by one file", tamper: deploy(func(files map[string][]byte) {
			clear(files)
			files["by-hand/index.ts"] = []byte("Deno.serve(() => new Response())")
		}, "index.ts", ""), uses: function},
		{object: function, mutation: "another entry point", tamper: deploy(func(files map[string][]byte) {
			files["by-hand/main.ts"] = []byte("import \"./index.ts\";\n")
		}, "main.ts", ""), uses: function},
		{object: function, mutation: "an import map", tamper: deploy(func(files map[string][]byte) {
			files["by-hand/deno.json"] = []byte(`{"imports": {}}`)
		}, "index.ts", "deno.json"), uses: function},
		{object: function, mutation: "deleted and recreated manually", tamper: func(p *project) {
			files := sourceOf(p)
			remove(p)
			if err := p.DeployFunction(p.t.Context(), "auto-backup", files, false); err != nil {
				p.t.Fatal(err)
			}
		}, uses: function},

		{object: "token in the vault", mutation: "another value", tamper: vault("'by-hand'"), both: true},
		{object: "token in the vault", mutation: "removed", tamper: owner("delete from vault.secrets where name = 'auto-backup/token'")},
		{object: "token in the vault", mutation: "renamed", tamper: vault("new_name := 'renamed'")},
		{object: "token in the vault", mutation: "its ownership marker overwritten", tamper: vault("new_description := 'mine'"), both: true},
		{object: "token in the vault", mutation: "cannot be decrypted, as after a restore into another project",
			tamper: superuser("update vault.secrets set secret = encode('\\x00', 'base64') where name = 'auto-backup/token'")},
		{object: "alert key in the vault", mutation: "removed", tamper: owner("delete from vault.secrets where name = 'auto-backup/alert-key'")},
		{object: "alert key in the vault", mutation: "cannot be decrypted, as after a restore into another project",
			tamper: superuser("update vault.secrets set secret = encode('\\x00', 'base64') where name = 'auto-backup/alert-key'")},
		{object: "alert key in the vault", mutation: "another project's, as in a clone", both: true,
			tamper: owner("do $$ begin perform vault.update_secret(id, 'sb_publishable_ofAnotherProject') from vault.secrets where name = 'auto-backup/alert-key'; end $$")},
		{object: "alert key in the vault", mutation: "its ownership marker overwritten",
			tamper: owner("do $$ begin perform vault.update_secret(id, new_description := 'mine') from vault.secrets where name = 'auto-backup/alert-key'; end $$")},
		{object: "URL of the heartbeat in the vault", mutation: "removed", tamper: owner("delete from vault.secrets where name = 'auto-backup/heartbeat'"), both: true},
		{object: "URL of the heartbeat in the vault", mutation: "its ownership marker overwritten",
			tamper: owner("do $$ begin perform vault.update_secret(id, new_description := 'mine') from vault.secrets where name = 'auto-backup/heartbeat'; end $$")},
		{object: "URL of a webhook in the vault", mutation: "renamed to that of another one",
			tamper: owner("do $$ begin perform vault.update_secret(id, new_name := 'auto-backup/webhook/other') from vault.secrets where name = 'auto-backup/webhook/ops'; end $$")},
		{object: "URL of a webhook in the vault", mutation: "another value", both: true,
			tamper: owner("do $$ begin perform vault.update_secret(id, 'https://hooks.theirs.example/') from vault.secrets where name = 'auto-backup/webhook/ops'; end $$")},
		{object: "URL of a webhook in the vault", mutation: "cannot be decrypted, as after a restore into another project",
			tamper: superuser("update vault.secrets set secret = encode('\\x00', 'base64') where name = 'auto-backup/webhook/ops'")},
		{object: "signing secret of a webhook in the vault", mutation: "removed", tamper: owner("delete from vault.secrets where name = 'auto-backup/webhook-secret/ops'")},
		{object: "secret `AUTO_BACKUP_TOKEN`", mutation: "another value",
			tamper: func(p *project) { p.overwriteSecret("AUTO_BACKUP_TOKEN", "by-hand") }},
		{object: "secret `AUTO_BACKUP_TOKEN`", mutation: "removed", tamper: deleteSecrets("AUTO_BACKUP_TOKEN")},
		{object: "secret `AUTO_BACKUP_TOKEN_NEXT`", mutation: "left over",
			tamper: func(p *project) { p.overwriteSecret("AUTO_BACKUP_TOKEN_NEXT", "left-over") }},
		{object: "both tokens", mutation: "removed", tamper: both(owner("delete from vault.secrets where name = 'auto-backup/token'"), deleteSecrets("AUTO_BACKUP_TOKEN"))},
		{object: "additional secret", mutation: "another value", tamper: func(p *project) { p.overwriteSecret("OTHER_KEY", "second") }, both: true},
		{object: "additional secret", mutation: "removed", tamper: deleteSecrets("OTHER_KEY")},
		{object: "access key of a destination of copies", mutation: "another value", tamper: func(p *project) { p.overwriteSecret("AUTO_BACKUP_OFFSITE_AWS_SECRET_ACCESS_KEY", "second") }},
		{object: "access key of a destination of copies", mutation: "removed", tamper: deleteSecrets("AUTO_BACKUP_OFFSITE_AWS_ACCESS_KEY_ID")},

		{object: check, mutation: "narrowed again", both: true,
			tamper: superuser("alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint backup_logs_action_type_check " + narrow)},
		{object: check, mutation: "replaced by a narrow one with another name",
			tamper: superuser("alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint mine " + narrow)},
		{object: "extension `pg_net`", mutation: "dropped", tamper: superuser("drop extension pg_net cascade"), uses: "extension"},
		{object: "extension `pg_cron`", mutation: "dropped with all jobs",
			tamper: superuser("drop extension pg_cron cascade"), uses: "extension"},
		{object: "extension `supabase_vault`", mutation: "dropped with all its secrets",
			tamper: superuser("drop extension supabase_vault cascade"), uses: "extension"},
	}
}

// sourceOf returns the deployed source, by path beside the entry point.
func sourceOf(p *project) map[string]string {
	files := map[string]string{}
	for name, content := range p.FunctionFiles("auto-backup") {
		files[path.Base(name)] = content
	}
	return files
}

// steadyRows are changes that do not count as drift.
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
		{what: "The same source deployed manually", alone: true, do: func(p *project) { redeploy(p, "supabase/functions/auto-backup", "auto-backup") }},
		{what: "The same source deployed from another directory", alone: true, do: func(p *project) { redeploy(p, "x", "auto-backup") }},
		{what: "Another display name of the Edge Function", alone: true, do: func(p *project) {
			name := "Nightly"
			if _, err := p.client().UpdateFunction(p.t.Context(), p.ProjectRef, "auto-backup", supabase.FunctionUpdate{Name: &name}); err != nil {
				p.t.Fatal(err)
			}
		}},
		{what: "The function's `version` changes without a deployment", do: func(p *project) {
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
		{what: "A job of another role, with another name", do: superuser("insert into cron.job (schedule, command, nodename, nodeport, database, username, active, jobname) values ('0 0 1 1 *', 'select 1', 'localhost', 5432, 'postgres', 'other', true, 'theirs')")},
		{what: "Old backup jobs deactivated or removed", do: owner("select cron.unschedule('auto-backup-secondary'); select cron.alter_job(jobid, active := false) from cron.job where jobname = 'auto-backup-daily'")},
		{what: "A job recreated manually with the same properties and another ID", do: owner("select cron.unschedule('auto-backup-nightly'); select cron.schedule('auto-backup-nightly', '0 6 * * *', $$set statement_timeout = '2min'; select auto_backup.dispatch('auto-backup', 'nightly')$$)")},
		{what: "A finished run of the backup, with its rows in the run history and in the logs", alone: true, do: func(p *project) {
			p.asPostgres("do $$ begin perform auto_backup.start('auto-backup', 'nightly', 'manual', now(), 1); end $$")
			p.await("1", "select count(*) from public.system_logs where type = 'auto_backup'")
			p.asPostgres("do $$ begin perform auto_backup.watch('auto-backup'); end $$")
		}},
		{what: "A restore drill, whatever its result", alone: true, do: owner("do $$ begin perform auto_backup.drill('auto-backup', 'manual'); end $$")},
		{what: "Rows of other actions in the application's logs", do: superuser("insert into public.backup_logs (action_type, details) values ('backup', 'manual'); insert into public.system_logs (type, message) values ('x', 'y')")},
		{what: "Old rows of the run history deleted", do: owner("delete from auto_backup.incidents; delete from auto_backup.runs")},
		{what: "The history of pg_cron deleted", do: superuser("delete from cron.job_run_details")},
		{what: "The responses of pg_net deleted", do: superuser("truncate net._http_response")},
		{what: "`updated_at` of the settings row", do: owner("update auto_backup.settings set updated_at = now() + interval '1 day'")},
		{what: "An unknown key in the settings row", do: owner(`update auto_backup.settings set document = document || '{"note": "mine"}'`)},
		{what: "The CHECK of `backup_logs` recreated from PostgreSQL's own text", alone: true, do: superuser(`do $$ declare rule text := (select pg_get_constraintdef(oid) from pg_constraint where conname = 'backup_logs_action_type_check'); begin
			execute 'alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint backup_logs_action_type_check ' || rule; end $$`)},
		{what: "The CHECK of `backup_logs` validated", do: superuser("alter table public.backup_logs validate constraint backup_logs_action_type_check")},
		{what: "Another CHECK of `backup_logs` that allows the backup's rows", do: superuser("alter table public.backup_logs add constraint mine check (records_affected >= 0) not valid")},
		{what: "Schema `auto_backup` dumped and restored with its rows", alone: true, do: func(p *project) { p.copySchema(p) }},
		{what: "Statistics", do: superuser("analyze")},
		{what: "VACUUM FULL", do: func(p *project) { p.sql("vacuum full auto_backup.runs") }},
		{what: "REINDEX", do: func(p *project) { p.sql("reindex schema auto_backup") }},
		{what: "Comments on objects of the backup and the application", do: superuser("comment on table auto_backup.runs is 'mine'; comment on function auto_backup.token(text) is 'mine'; comment on table public.backup_logs is 'mine'")},
		{what: "A grant to a role of your own", do: superuser("grant usage on schema auto_backup to other; grant select on auto_backup.history to other")},
		{what: "A table, a function, a column and an index of your own in schema `auto_backup`", do: owner("create table auto_backup.mine (id int primary key); create function auto_backup.mine() returns int language sql as 'select 1'; alter table auto_backup.runs add column note text; create index mine_by_note on auto_backup.runs (note)")},
		{what: "A view of your own over the history", do: owner("create view mine.failures as select * from auto_backup.history where state = 'failed'")},
		{what: "Another version of an extension", do: superuser("update pg_extension set extversion = extversion || '.1' where extname in ('pg_cron', 'pg_net', 'supabase_vault')")},
		{what: "Another extension", do: superuser("create extension if not exists citext with schema extensions")},
		{what: "Settings of PostgreSQL, including its search path and time zone", alone: true, do: func(p *project) {
			for _, setting := range []string{"search_path = auto_backup, public", "timezone = 'Asia/Tokyo'", "datestyle = 'German, DMY'", "quote_all_identifiers = on", "extra_float_digits = 0", "bytea_output = 'escape'", "intervalstyle = 'iso_8601'"} {
				p.sql("alter role postgres set " + setting)
			}
		}},
		{what: "A restart of PostgreSQL", alone: true, do: func(p *project) {
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
			}
			` + driftDestination + "\n" + driftChannels},
		{what: "Defaults written explicitly", arguments: with(`
			name = "auto-backup"
			timezone = "America/Sao_Paulo"
			function = { rpc = "backup_all_data" }
			alert = { enabled = true, function = "alert-processor", source = "Falha no Backup Automático" }
			retry = { attempts = 1, delay = "10m" }
			drill = { enabled = true, cron = "30 4 * * 0", timeout = "2m", max_rows = 100000 }
			log_constraint = "extend"
			adopt_existing = false`)},
		{what: "A duration written differently", arguments: with(`
			retry = { delay = "600s" }
			alert = { overdue_after = "1560m" }
			drill = { timeout = "120s" }`)},
	}
}
