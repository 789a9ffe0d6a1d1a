package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/jackc/pgx/v5"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// finding is a diagnostic that a plan is expected to have.
type finding struct {
	severity tfprotov6.DiagnosticSeverity
	path     string
	says     []string
}

// broken is one way in which a project can be broken before it has a backup.
type broken struct {
	name string
	// do breaks the project and undo repairs it, as the superuser; with and
	// without are for what SQL cannot do.
	do, undo      string
	with, without func(*project)
	// config holds arguments of the resource, args those of the provider's
	// connection: empty for the Management API with a token that may only read.
	config map[string]any
	as     func(*project) string
	wants  []finding
}

func fails(path string, says ...string) finding {
	return finding{tfprotov6.DiagnosticSeverityError, path, says}
}

func warns(path string, says ...string) finding {
	return finding{tfprotov6.DiagnosticSeverityWarning, path, says}
}

func rpc(name string) map[string]any {
	return map[string]any{"function": map[string]any{"rpc": name}}
}

func verifyTable(name string) map[string]any {
	return map[string]any{"function": map[string]any{"verify_table": name}}
}

// fake returns a function with a body that nobody runs.
func fake(signature, returns, body string) string {
	return fmt.Sprintf("set local check_function_bodies = off; create function public.%s returns %s language plpgsql security definer set statement_timeout = '60s' as $f$ %s $f$", signature, returns, body)
}

const (
	widened = "alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint backup_logs_action_type_check check (action_type in ('backup', 'restore', 'auto_backup'))"
	narrow  = "alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint backup_logs_action_type_check check (action_type in ('backup', 'restore')) not valid"
	copying = "begin insert into backup_articles (backup_id, original_id, title, published) select gen_random_uuid(), a.id, a.title, false from articles a; return json_build_object('success', true, 'backup_id', gen_random_uuid()); end"
)

// untold is the finding that no drill can restore what a function copies.
var untold = warns("drill.tables", "does not show which tables it copies", `"public.articles" = "public.backup_articles"`)

// brokenProjects are the causes, one each.
var brokenProjects = []broken{
	{
		name: "lineage B of the application, in which the log's copies never existed",
		do: `alter table public.backend_logs_backup rename to b1; alter table public.app_logs_backup rename to b2; alter table public.system_logs_backup rename to b3;
			alter table public.system_logs disable trigger trigger_system_logs_alert; alter table public.system_logs alter column type type varchar(50)`,
		undo: `alter table public.b1 rename to backend_logs_backup; alter table public.b2 rename to app_logs_backup; alter table public.b3 rename to system_logs_backup;
			alter table public.system_logs enable trigger trigger_system_logs_alert; alter table public.system_logs alter column type type text`,
		wants: []finding{fails("function.rpc", "backup_all_data()", "tables that do not exist: backend_logs_backup, app_logs_backup, system_logs_backup", "migrations")},
	},
	{
		name: "the SQL function is missing", do: "alter function public.backup_all_data() rename to backup_everything", undo: "alter function public.backup_everything() rename to backup_all_data",
		wants: []finding{fails("function.rpc", "public.backup_all_data does not exist", "backup_everything")},
	},
	{
		name: "the SQL function is in another schema", do: "alter function public.backup_all_data() set schema extensions", undo: "alter function extensions.backup_all_data() set schema public",
		wants: []finding{fails("function.rpc", "exists in schema extensions only")},
	},
	{
		name: "the SQL function needs arguments", do: fake("broken(n int)", "json", copying), undo: "drop function public.broken", config: rpc("broken"),
		wants: []finding{fails("function.rpc", "needs 1 arguments")},
	},
	{
		name: "the SQL function is there twice", do: fake("backup_all_data(n int default 1)", "json", copying), undo: "drop function public.backup_all_data(int)",
		wants: []finding{fails("function.rpc", "ambiguous (PGRST203)", "backup_all_data(integer)")},
	},
	{
		name: "the SQL function is a procedure", do: "create procedure public.broken() language sql as 'select 1'", undo: "drop procedure public.broken", config: rpc("broken"),
		wants: []finding{fails("function.rpc", "is a procedure")},
	},
	{
		name: "the SQL function may not write", do: "alter function public.backup_all_data() stable", undo: "alter function public.backup_all_data() volatile",
		wants: []finding{fails("function.rpc", "read-only transaction", "alter function public.backup_all_data() volatile")},
	},
	{
		name: "the SQL function returns text", do: fake("broken()", "text", copying), undo: "drop function public.broken", config: rpc("broken"),
		wants: []finding{fails("function.rpc", "returns text instead of json or jsonb")},
	},
	{
		name: "the SQL function returns a set", do: fake("broken()", "setof json", copying), undo: "drop function public.broken", config: rpc("broken"),
		wants: []finding{fails("function.rpc", "returns a set")},
	},
	{
		name: "the SQL function is closed to service_role",
		do:   "revoke execute on function public.backup_all_data() from public, service_role", undo: "grant execute on function public.backup_all_data() to public, service_role",
		wants: []finding{fails("function.rpc", "may not be executed by service_role", "grant execute on function public.backup_all_data() to service_role")},
	},
	{
		name: "the SQL function finds no table", do: "alter function public.backup_all_data() set search_path = ''", undo: "alter function public.backup_all_data() reset search_path",
		wants: []finding{fails("function.rpc", "without their schema", "search_path (empty) does not find", "set search_path = public, pg_temp")},
	},
	{
		name: "the statement timeout of the Data API", do: "alter function public.backup_all_data() reset statement_timeout", undo: "alter function public.backup_all_data() set statement_timeout = '10min'",
		wants: []finding{warns("function.rpc", "cancelled by the database after 8s (statement_timeout, set for role authenticator)", "alter role service_role set statement_timeout = '60s'")},
	},
	{
		name: "the statement timeout of service_role",
		do:   "alter function public.backup_all_data() reset statement_timeout; alter role service_role set statement_timeout = '2500ms'", undo: "alter function public.backup_all_data() set statement_timeout = '10min'; alter role service_role reset statement_timeout",
		wants: []finding{warns("function.rpc", "after 2.5s (statement_timeout, set for role service_role)")},
	},
	{
		name: "the statement timeout of the function itself", do: "alter function public.backup_all_data() set statement_timeout = '4s'", undo: "alter function public.backup_all_data() set statement_timeout = '10min'",
		wants: []finding{warns("function.rpc", "after 4s (statement_timeout, its own setting)")},
	},
	{
		name: "a column that is copied was renamed", do: "alter table public.articles rename excerpt to summary", undo: "alter table public.articles rename summary to excerpt",
		wants: []finding{fails("function.rpc", "reads the column articles.excerpt, which does not exist")},
	},
	{
		name: "a column of the copies was renamed", do: "alter table public.backup_articles rename slug to path", undo: "alter table public.backup_articles rename path to slug",
		wants: []finding{fails("function.rpc", "writes the column backup_articles.slug, which does not exist")},
	},
	{
		name: "one article whose published is null", do: "update public.articles set published = null where slug = 'artigo-1'", undo: "update public.articles set published = true where slug = 'artigo-1'",
		wants: []finding{fails("function.rpc", "copies articles.published into backup_articles.published, which is NOT NULL", "one of them makes the whole backup fail")},
	},
	{
		name: "copies that may exist once", do: "alter table public.backup_articles add constraint once unique (slug)", undo: "alter table public.backup_articles drop constraint once",
		wants: []finding{fails("function.rpc", "allows each slug only once: the second backup fails")},
	},
	{
		name: "a column of the copies that nobody fills", do: "alter table public.backup_comments add column tenant uuid not null", undo: "alter table public.backup_comments drop column tenant",
		wants: []finding{fails("function.rpc", "leaves out the column backup_comments.tenant, which is NOT NULL without a default")},
	},
	{
		name: "a column of the copies of another type", do: "alter table public.backup_comments alter column article_id type bigint using null", undo: "alter table public.backup_comments alter column article_id type uuid using null",
		wants: []finding{fails("function.rpc", "copies comments.article_id (uuid) into backup_comments.article_id (bigint)")},
	},
	{
		name: "a column of the copies that is shorter", do: "alter table public.backup_feedbacks alter column content type varchar(50)", undo: "alter table public.backup_feedbacks alter column content type text",
		wants: []finding{warns("function.rpc", "copies feedbacks.content (text) into backup_feedbacks.content (character varying(50))")},
	},
	{
		name: "a DELETE without WHERE, where nothing says that it is refused", config: rpc("broken"), undo: "drop function public.broken",
		do:    fake("broken()", "json", "begin delete from backup_articles; "+strings.TrimPrefix(copying, "begin ")) + "; alter role authenticator reset session_preload_libraries",
		wants: []finding{warns("function.rpc", "deletes or updates without WHERE (backup_articles)")},
	},
	{
		name: "a DELETE without WHERE, where pg-safeupdate is loaded", config: rpc("broken"), undo: "drop function public.broken; alter role authenticator reset session_preload_libraries",
		do:    fake("broken()", "json", "begin delete from backup_articles; "+strings.TrimPrefix(copying, "begin ")) + "; alter role authenticator set session_preload_libraries = 'safeupdate'",
		wants: []finding{fails("function.rpc", "pg-safeupdate refuses", "where true")},
	},
	{
		name: "SQL that is put together while it runs", config: rpc("broken"), undo: "drop function public.broken",
		do:    fake("broken()", "json", `begin execute format('insert into %I select 1', 'x'); return json_build_object('success', true, 'backup_id', gen_random_uuid()); end`),
		wants: []finding{warns("function.rpc", "puts SQL together while it runs", `verify = "backup"`), untold},
	},
	{
		name: "a result without a backup_id", config: rpc("broken"), undo: "drop function public.broken",
		do:    fake("broken()", "json", `begin insert into articles_backup select * from articles; return json_build_object('success', true); end`),
		wants: []finding{warns("function.rpc", "never mentions backup_id"), untold},
	},
	{
		name: "a function that is called and missing", config: rpc("broken"), undo: "drop function public.broken",
		do:    fake("broken()", "json", "begin perform log_backup('x'); "+strings.TrimPrefix(copying, "begin ")),
		wants: []finding{fails("function.rpc", "calls the function log_backup, which does not exist")},
	},
	{
		name: "the function works with the rights of service_role, which lacks one",
		do:   "alter function public.backup_all_data() security invoker; revoke insert on public.backup_articles from service_role", undo: "alter function public.backup_all_data() security definer; grant insert on public.backup_articles to service_role",
		wants: []finding{fails("function.rpc", "works with the rights of service_role, which lacks INSERT on public.backup_articles", "grant insert on public.backup_articles to service_role")},
	},
	{
		name: "the Data API does not expose schema public", do: "alter role authenticator set pgrst.db_schemas = 'api, graphql_public'", undo: "alter role authenticator reset pgrst.db_schemas",
		wants: []finding{fails("function.rpc", "exposes the schemas api, graphql_public and not public")},
	},
	{
		name: "a table to verify that is not there", config: verifyTable("backups"),
		wants: []finding{fails("function.verify_table", "public.backups does not exist")},
	},
	{
		name: "a table to verify without backup_id", config: verifyTable("articles"),
		wants: []finding{fails("function.verify_table", "public.articles has no column backup_id")},
	},
	{
		name: "a table to verify that is closed", config: verifyTable("backup_articles"),
		do: "revoke select on public.backup_articles from service_role", undo: "grant select on public.backup_articles to service_role",
		wants: []finding{fails("function.verify_table", "may not read public.backup_articles", "grant select")},
	},
	{
		name: "backup_logs is missing", do: "alter table public.backup_logs rename to log_of_backups", undo: "alter table public.log_of_backups rename to backup_logs",
		wants: []finding{fails("", "public.backup_logs does not exist"), fails("function.rpc", "tables that do not exist: backup_logs")},
	},
	{
		name: "system_logs lacks a column", do: "alter table public.system_logs rename context to details", undo: "alter table public.system_logs rename details to context",
		wants: []finding{
			fails("", "public.system_logs.context does not exist", "add column context jsonb"), fails("function.rpc", "writes the column system_logs.context"),
			fails("function.rpc", "reads the column system_logs.context"),
		},
	},
	{
		name: "action_type is too short", do: "alter table public.backup_logs alter column action_type type varchar(10)", undo: "alter table public.backup_logs alter column action_type type varchar(20)",
		wants: []finding{fails("", "public.backup_logs.action_type holds 10 characters, and a run writes 11", "type text")},
	},
	{
		name: "details is short", do: "alter table public.backup_logs alter column details type varchar(120)", undo: "alter table public.backup_logs alter column details type text",
		wants: []finding{warns("", "public.backup_logs.details holds 120 characters")},
	},
	{
		name: "ids of the log are numbers", do: "alter table public.backup_logs rename id to uid; alter table public.backup_logs add column id bigserial unique", undo: "alter table public.backup_logs drop column id; alter table public.backup_logs rename uid to id",
		wants: []finding{fails("", "public.backup_logs.id has type bigint, which does not take what a run writes")},
	},
	{
		name: "a column of the log that a run leaves out", do: "alter table public.backup_logs add column actor text not null", undo: "alter table public.backup_logs drop column actor",
		wants: []finding{fails("", "public.backup_logs.actor is NOT NULL without a default"), fails("function.rpc", "leaves out the column backup_logs.actor")},
	},
	{
		name: "rows of the log without a time", do: "alter table public.system_logs alter column created_at drop default", undo: "alter table public.system_logs alter column created_at set default now()",
		wants: []finding{warns("", "public.system_logs.created_at has no default")},
	},
	{
		name: "a CHECK that refuses the type of a failure", do: "alter table public.system_logs add constraint known check (type <> 'auto_backup_error') not valid", undo: "alter table public.system_logs drop constraint known",
		wants: []finding{fails("", "The CHECK known of public.system_logs", "'auto_backup_error'")},
	},
	{
		name: "a CHECK that cannot be widened", do: narrow + "; alter table public.backup_logs owner to supabase_admin; grant all on public.backup_logs to postgres", undo: "alter table public.backup_logs owner to postgres; " + widened,
		wants: []finding{warns("log_constraint", "The apply adds that value to the constraint"), fails("log_constraint", "cannot be widened: the table belongs to role supabase_admin", "owner to postgres")},
	},
	{
		name: "one row per action_type", do: "create unique index once on public.backup_logs (action_type)", undo: "drop index public.once",
		wants: []finding{fails("", "allows one row per action_type only")},
	},
	{
		name: "a rule that drops rows", do: "create rule silence as on insert to public.backup_logs do instead nothing", undo: "drop rule silence on public.backup_logs",
		wants: []finding{fails("", "The rule silence of public.backup_logs", "drop rule silence")},
	},
	{
		name: "no grants on a table of the log", do: "revoke all on public.backup_logs from service_role", undo: "grant all on public.backup_logs to service_role",
		wants: []finding{fails("", "service_role lacks INSERT (id, action_type", "grant select, insert, update on public.backup_logs to service_role")},
	},
	{
		name: "one column is closed", do: "revoke update on public.system_logs from service_role; grant update (type, message) on public.system_logs to service_role", undo: "revoke update (type, message) on public.system_logs from service_role; grant update on public.system_logs to service_role",
		wants: []finding{fails("", "service_role lacks UPDATE (context) on public.system_logs")},
	},
	{
		name: "a sequence is closed", do: "revoke all on sequence public.system_logs_id_seq from service_role", undo: "grant all on sequence public.system_logs_id_seq to service_role",
		wants: []finding{fails("", "public.system_logs.id takes its default from a sequence that service_role may not use", "grant usage on sequence")},
	},
	{
		name: "schema public is closed", do: "revoke usage on schema public from public, service_role", undo: "grant usage on schema public to public, service_role",
		wants: []finding{fails("", "service_role may not use schema public")},
	},
	{
		name: "service_role does not bypass row level security", do: "alter role service_role nobypassrls", undo: "alter role service_role bypassrls",
		wants: []finding{warns("", "row level security of public.backup_logs", "alter role service_role bypassrls"), warns("", "row level security of public.system_logs")},
	},
	{
		name: "service_role does not bypass row level security, and no policy lets it through", do: "alter role service_role nobypassrls; drop policy backup_logs_policy on public.backup_logs",
		undo:  "alter role service_role bypassrls; create policy backup_logs_policy on public.backup_logs for all using (auth.role() = 'authenticated')",
		wants: []finding{fails("", "no policy of public.backup_logs lets it"), warns("", "row level security of public.system_logs")},
	},
	{
		name:  "a trigger that may refuse a row",
		do:    "create function public.guard() returns trigger language plpgsql as $$ begin if new.details is null then raise exception 'no details'; end if; return new; end $$; create trigger guard before insert on public.backup_logs for each row execute function public.guard()",
		undo:  "drop function public.guard() cascade",
		wants: []finding{warns("", "The trigger guard of public.backup_logs", "raises an exception", "when (new.action_type")},
	},
	{
		name:  "a trigger that needs a table which is missing",
		do:    "create function public.copy_log() returns trigger language plpgsql as $$ begin insert into audit_trail (entry) values (new.message); return new; end $$; create trigger copy_log after insert on public.system_logs for each row execute function public.copy_log()",
		undo:  "drop function public.copy_log() cascade",
		wants: []finding{warns("", "The trigger copy_log of public.system_logs", "uses the table audit_trail, which does not exist")},
	},
	{
		name:  "a trigger made for another table",
		do:    "create function public.level() returns trigger language plpgsql as $$ begin if new.level = 'error' then new.message := 'x'; end if; return new; end $$; create trigger level before insert on public.system_logs for each row execute function public.level()",
		undo:  "drop function public.level() cascade",
		wants: []finding{warns("", "The trigger level of public.system_logs", "reads new.level, and the table has no such column")},
	},
	{
		name: "alert-processor is not deployed", with: func(p *project) { p.status("alert-processor", "REMOVED") }, without: func(p *project) { p.status("alert-processor", "ACTIVE") },
		wants: []finding{warns("alert.function", "The Edge Function alert-processor is not deployed", "nobody would be told")},
	},
	{
		name: "alert-processor is throttled", with: func(p *project) { p.status("alert-processor", "THROTTLED") }, without: func(p *project) { p.status("alert-processor", "ACTIVE") },
		wants: []finding{warns("alert.function", "has the status THROTTLED")},
	},
	{
		name: "nobody subscribes to alerts", do: "delete from public.alert_subscriptions", undo: "insert into public.alert_subscriptions (email) values ('admin@aimindset.example')",
		wants: []finding{warns("alert.function", "public.alert_subscriptions is empty")},
	},
	{
		name: "there is no table of subscribers", do: "alter table public.alert_subscriptions rename to subscribers", undo: "alter table public.subscribers rename to alert_subscriptions",
		wants: []finding{warns("alert.function", "public.alert_subscriptions does not exist")},
	},
	{
		name: "alert-processor has no key for its e-mails",
		with: func(p *project) {
			if err := p.client().DeleteSecrets(p.t.Context(), p.ProjectRef, []string{"RESEND_API_KEY"}); err != nil {
				p.t.Fatal(err)
			}
		},
		without: func(p *project) { p.overwriteSecret("RESEND_API_KEY", "re_again") },
		wants:   []finding{warns("alert.function", "RESEND_API_KEY is not set")},
	},
	{
		name: "pg_net's function is elsewhere", do: "alter function net.http_post(text, jsonb, jsonb, jsonb, int) rename to post", undo: "alter function net.post(text, jsonb, jsonb, jsonb, int) rename to http_post",
		wants: []finding{fails("", "The extension pg_net", "net.http_post is not where the backup calls it")},
	},
	{
		name: "pg_cron belongs to postgres", do: "set local allow_system_table_mods = on; update pg_catalog.pg_extension set extowner = 'postgres'::regrole where extname = 'pg_cron'", undo: "set local allow_system_table_mods = on; update pg_catalog.pg_extension set extowner = 'supabase_admin'::regrole where extname = 'pg_cron'",
		wants: []finding{fails("schedules", "belongs to role postgres, which may not write cron.job", "permission denied for table job")},
	},
	{
		name: "cron.schedule is closed to postgres", do: "revoke all on all functions in schema cron from postgres, public cascade", undo: "grant all on all functions in schema cron to postgres with grant option; do $$ begin execute (select string_agg(format('grant execute on function %s to public', p.oid::regprocedure), '; ') from pg_proc p where p.pronamespace = 'cron'::regnamespace and p.proname in ('schedule', 'unschedule')); end $$",
		wants: []finding{fails("", "cron.alter_job may not be executed by role postgres"), fails("", "cron.schedule may not"), fails("", "cron.unschedule may not", "grant execute on all functions in schema cron to postgres")},
	},
	{
		name: "a job of a role that is gone",
		// The scheduler dies when it reads such a job, so it stands still meanwhile.
		with: func(p *project) {
			p.signalScheduler(syscall.SIGSTOP)
			p.sql("begin; alter table cron.job disable trigger all; insert into cron.job (schedule, command, username, jobname) values ('0 0 1 1 *', 'select 1', 'gone', 'left_behind'); commit")
		},
		without: func(p *project) {
			p.sql("begin; delete from cron.job where username = 'gone'; alter table cron.job enable trigger all; commit")
			p.signalScheduler(syscall.SIGCONT)
		},
		wants: []finding{fails("schedules", `The pg_cron job "left_behind"`, "belongs to role gone, which does not exist", "create role gone nologin", "delete from cron.job where jobid = ")},
	},
	{
		name: "pg_cron's history is ahead of its sequence", do: "insert into cron.job_run_details (runid, jobid, command) values (1000000, 1, 'select 1')", undo: "delete from cron.job_run_details where runid = 1000000",
		wants: []finding{fails("schedules", "has run ids up to 1000000", "truncate cron.job_run_details")},
	},
	{
		name: "the database is in read-only mode", do: "alter database postgres set default_transaction_read_only = on", undo: "alter database postgres reset default_transaction_read_only",
		wants: []finding{fails("", "The database is in read-only mode", "disk")},
	},
	{
		name: "schema auto_backup belongs to somebody else", do: "create schema auto_backup", undo: "drop schema auto_backup",
		wants: []finding{fails("", "The schema auto_backup belongs to role supabase_admin", "owner to postgres")},
	},
	{
		name: "postgres may not create a schema", do: "alter database postgres owner to supabase_admin; revoke create on database postgres from postgres", undo: "alter database postgres owner to postgres",
		wants: []finding{fails("", "may not create a schema", "grant create on database postgres to postgres")},
	},
	{
		name: "the connection is another role's", as: func(p *project) string { return p.AdminDatabaseURL },
		wants: []finding{fails("", "is made as role supabase_admin", "database_url")},
	},
	{
		name: "pg_net's worker stands still", with: func(p *project) { p.StopNetWorker() },
		without: func(p *project) {
			if err := p.StartNetWorker(p.t.Context()); err != nil {
				p.t.Fatal(err)
			}
		},
		wants: []finding{fails("", "pg_net's worker is not running", "net.worker_restart()")},
	},
	{
		name: "pg_net does not keep up", do: "insert into net.http_request_queue (method, url, timeout_milliseconds) select 'GET', 'http://127.0.0.1:9/', 1000 from generate_series(1, 300)", undo: "delete from net.http_request_queue",
		// A worker that hangs is one that runs and sends nothing.
		with: func(p *project) {
			p.StopNetWorker()
			config := p.Admin().Config().ConnConfig.Copy()
			config.RuntimeParams["application_name"] = "pg_net 0.20.4"
			conn, err := pgx.ConnectConfig(p.t.Context(), config)
			if err != nil {
				p.t.Fatal(err)
			}
			p.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(p.t.Context())) })
		},
		without: func(p *project) {
			if err := p.StartNetWorker(p.t.Context()); err != nil {
				p.t.Fatal(err)
			}
		},
		wants: []finding{warns("", "pg_net's queue holds 200 requests or more")},
	},
	{
		name: "pg_cron's scheduler is gone", with: func(p *project) {
			if err := p.UnloadCron(p.t.Context()); err != nil {
				p.t.Fatal(err)
			}
		},
		without: func(p *project) {
			if err := p.LoadCron(p.t.Context()); err != nil {
				p.t.Fatal(err)
			}
		},
		wants: []finding{fails("schedules", "pg_cron's scheduler is not running")},
	},
}

// signalScheduler sends a signal to pg_cron's scheduler.
func (p *project) signalScheduler(signal syscall.Signal) {
	p.t.Helper()
	pid, err := strconv.Atoi(p.value("select pid::text from pg_stat_activity where application_name = 'pg_cron scheduler'"))
	if err == nil {
		err = syscall.Kill(pid, signal)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) status(slug, status string) {
	p.t.Helper()
	if err := p.SetFunctionStatus(slug, status); err != nil {
		p.t.Fatal(err)
	}
}

// TestPreflight proves that a plan says what in a project prevents
// a backup, one broken project for each cause: with its severity, at its
// argument, with the object, the reason and the remedy, and nothing else;
// that the real Terraform stops at an error; that a healthy project is silent;
// and that none of this writes, because the token and the role may only read.
func TestPreflight(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 40, RateLimit: -1})
	// A healthy project has one thing to say: its CHECK is widened.
	expect(t, p.plan(nil, ""), []finding{warns("log_constraint", "The apply adds that value to the constraint")})
	p.sql(widened)
	expect(t, p.plan(nil, ""), nil)
	expect(t, p.plan(verifyTable("backup_articles"), p.ReadOnlyDatabaseURL), nil)

	// A backup that is under way has truncated its tables, and nobody waits for it.
	running, err := p.Admin().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := running.Exec(t.Context(), "truncate public.backend_logs_backup, public.app_logs_backup; lock table public.articles in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	expect(t, p.plan(nil, ""), nil)
	if err := running.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}

	terraform := newCLI(t, "")
	calls := len(p.APICalls())
	var writers []string
	for _, c := range brokenProjects {
		t.Run(c.name, func(t *testing.T) {
			p := &project{Stack: p.Stack, t: t}
			terraform := &cli{WorkingDirectory: terraform.WorkingDirectory, t: t, searched: map[string]string{}}
			defer p.change(c.undo, c.without)
			p.change(c.do, c.with)
			as := ""
			if c.as != nil {
				as = c.as(p)
			}
			before := p.value(applicationObjects)
			found := len(p.APICalls())
			expect(t, p.plan(c.config, as), c.wants)
			if slices.ContainsFunc(c.wants, func(f finding) bool { return f.severity == tfprotov6.DiagnosticSeverityError }) {
				terraform.refused(p.configAs(p.ReadOnlyAccessToken, as, arguments(c.config)), c.wants)
			}
			for _, call := range p.APICalls()[found:] {
				if call.Method != http.MethodGet && !strings.HasSuffix(call.Path, "/read-only") {
					writers = append(writers, call.Method+" "+call.Path)
				}
			}
			if p.value(applicationObjects) != before {
				t.Error("the plan changed the application")
			}
			if left := p.value("select count(*) from cron.job where jobname like 'auto-backup%'"); left != "0" {
				t.Error("the plan made a job")
			}
		})
	}
	if len(writers) > 0 || len(p.APICalls()) == calls {
		t.Errorf("of %d calls of the API, these may write: %v", len(p.APICalls())-calls, writers)
	}
}

// TestPausedProject proves that a plan says that the project is paused, where
// all else that it hears is a database that cannot be reached.
func TestPausedProject(t *testing.T) {
	t.Parallel()
	for status, says := range map[string]string{"INACTIVE": "is paused; restore it in the dashboard", "RESTORING": "its status is RESTORING"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			p := start(t, stack.Options{Articles: 1, Intercept: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.Contains(r.URL.Path, "/database/query") {
						http.Error(w, `{"message":"the database is not running"}`, http.StatusBadRequest)
						return
					}
					answer := httptest.NewRecorder()
					next.ServeHTTP(answer, r)
					maps.Copy(w.Header(), answer.Header())
					w.Header().Del("Content-Length")
					w.WriteHeader(answer.Code)
					_, _ = w.Write(bytes.ReplaceAll(answer.Body.Bytes(), []byte("ACTIVE_HEALTHY"), []byte(status)))
				})
			}})
			expect(t, p.plan(nil, ""), []finding{fails("", says, "the database is not running")})
		})
	}
}

// change runs SQL as the superuser in one transaction that may write whatever
// the database's default is, and a step of Go.
func (p *project) change(statements string, step func(*project)) {
	p.t.Helper()
	if step != nil {
		step(p)
	}
	if statements != "" {
		p.sql("begin read write; " + statements + "; commit")
	}
}

// arguments writes arguments of the resource as HCL, which JSON nearly is.
func arguments(config map[string]any) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(config)) {
		value, err := json.Marshal(config[name])
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&text, "%s = %s\n", name, value)
	}
	return text.String()
}

// plan has the provider plan a new backup, as Terraform does, with the token
// that may only read.
func (p *project) plan(config map[string]any, database string) []*tfprotov6.Diagnostic {
	p.t.Helper()
	server := p.serverAs(p.ReadOnlyAccessToken, database)
	kind, _ := kinds(p.t, server)
	null, err := tfprotov6.NewDynamicValue(kind, tftypes.NewValue(kind, nil))
	if err != nil {
		p.t.Fatal(err)
	}
	if config == nil {
		config = map[string]any{}
	}
	packed := dynamic(p.t, kind, config)
	answer, err := server.PlanResourceChange(p.t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: "aimindset_auto_backup", PriorState: &null, ProposedNewState: packed, Config: packed,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.Diagnostics
}

// serverAs returns a provider that is configured with the project and a token.
func (p *project) serverAs(token, database string) tfprotov6.ProviderServer {
	p.t.Helper()
	config := map[string]string{"access_token": token, "project_ref": p.ProjectRef, "api_url": p.APIURL, "project_url": p.ProjectURL}
	if database != "" {
		config["database_url"] = database
	}
	return configuredServer(p.t, config)
}

// expect compares diagnostics with findings: each has to be there, and nothing else.
func expect(t *testing.T, diags []*tfprotov6.Diagnostic, wants []finding) {
	t.Helper()
	rest := slices.Clone(diags)
	for _, want := range wants {
		at := slices.IndexFunc(rest, func(d *tfprotov6.Diagnostic) bool {
			return d.Severity == want.severity && pathOf(d.Attribute) == want.path &&
				!slices.ContainsFunc(want.says, func(text string) bool { return !strings.Contains(d.Detail, text) })
		})
		if at < 0 {
			t.Errorf("no diagnostic is %v at %q and says %q", want.severity, want.path, want.says)
			continue
		}
		rest = slices.Delete(rest, at, at+1)
	}
	if len(rest) > 0 || t.Failed() {
		for _, d := range diags {
			t.Logf("%v at %q: %s\n%s", d.Severity, pathOf(d.Attribute), d.Summary, d.Detail)
		}
	}
	if len(rest) > 0 {
		t.Errorf("%d diagnostics are unexpected", len(rest))
	}
}

// refused proves that the real Terraform ends a plan with the expected errors.
func (c *cli) refused(config string, wants []finding) {
	c.t.Helper()
	c.configure("terraform {\n  required_providers {\n    aimindset = { source = \"aimindset/aimindset\" }\n  }\n}\n" + config)
	output := c.run(1, "plan", "-json", "-no-color")
	var details []string
	for line := range strings.Lines(output) {
		var message struct {
			Diagnostic struct{ Severity, Detail, Address string } `json:"diagnostic"`
		}
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			c.t.Fatalf("%v in %s", err, line)
		}
		if d := message.Diagnostic; d.Severity == "error" {
			details = append(details, d.Detail)
		}
	}
	for _, want := range wants {
		if want.severity == tfprotov6.DiagnosticSeverityError && !slices.ContainsFunc(details, func(detail string) bool { return strings.Contains(detail, want.says[0]) }) {
			c.t.Errorf("terraform plan does not say %q:\n%s", want.says[0], strings.Join(details, "\n"))
		}
	}
}
