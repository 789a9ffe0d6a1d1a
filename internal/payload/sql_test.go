package payload_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// These tests run the dispatcher and the watchdog in a real PostgreSQL, as role
// postgres, on a clock of their own. What pg_net and the Edge Function would
// write, the tests write: so each case decides what arrives, and when. Every
// case is a backup of its own, and so the cases do not see each other.

// testDatabase is the database under test.
type testDatabase struct {
	stack *stack.Stack
	owner *pgxpool.Pool // role postgres, as which jobs run
	admin *pgxpool.Pool // superuser
	cases atomic.Int64
}

// startDatabase starts a stack without pg_net's worker and installs the dispatcher.
func startDatabase(t testing.TB) *testDatabase { return startDatabaseWith(t, 1) }

// startDatabaseWith does so with a number of articles.
func startDatabaseWith(t testing.TB, articles int) *testDatabase {
	t.Helper()
	ctx := context.Background()
	s, err := stack.Start(ctx, stack.Options{Parts: stack.Database, Articles: articles})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.StopNetWorker()
	owner, err := pgxpool.New(ctx, s.DatabaseURL+"&pool_max_conns=8&timezone=UTC")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(owner.Close)
	tdb := &testDatabase{stack: s, owner: owner, admin: s.Admin()}
	tdb.install(t)
	tdb.exec(t, tdb.owner, `select auto_backup.extend_log_constraint('["backup_logs_action_type_check"]')`)
	tdb.installSigner(t)
	return tdb
}

func (tdb *testDatabase) install(t testing.TB) {
	t.Helper()
	tdb.exec(t, tdb.owner, payload.LoadDispatcher().Install())
}

// exec runs one statement, or a script if there are no arguments.
func (tdb *testDatabase) exec(t testing.TB, db *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%v\nin: %.300s", err, sql)
	}
}

// one reads one value.
func one[T any](t testing.TB, db *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	value, err := pgx.CollectOneRow(query(t, db, sql, args...), pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%v\nin: %.300s", err, sql)
	}
	return value
}

// column reads the values of one column.
func column[T any](t testing.TB, db *pgxpool.Pool, sql string, args ...any) []T {
	t.Helper()
	values, err := pgx.CollectRows(query(t, db, sql, args...), pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%v\nin: %.300s", err, sql)
	}
	return values
}

func query(t testing.TB, db *pgxpool.Pool, sql string, args ...any) pgx.Rows {
	t.Helper()
	rows, err := db.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatalf("%v\nin: %.300s", err, sql)
	}
	return rows
}

// moment reads "2 06:10" as the 2nd of March 2026, 06:10 UTC: ten minutes after
// the daily backup is due.
func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-2 15:04:05", "2026-03-"+text+":00")
	if err != nil {
		at, err = time.Parse("2006-01-2 15:04:05", "2026-03-"+text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// installed is when the backup of each case was installed.
const installed = "1 12:00"

// token is a token as the provider makes them.
const token = "0123456789-abcdefghijklmnopqrstuvwxyz_ABCDE"

func dailySchedule() map[string]any {
	span := func(from, to int) []int {
		var values []int
		for v := from; v <= to; v++ {
			values = append(values, v)
		}
		return values
	}
	return map[string]any{
		"cron": "0 3 * * *", "timezone": nil, "enabled": true, "utc": "0 6 * * *", "guarded": false,
		"zone": "America/Sao_Paulo", "minutes": []int{0}, "hours": []int{3}, "days": span(1, 31),
		"months": span(1, 12), "weekdays": span(0, 6), "days_either": false,
	}
}

// settings are the PRD's defaults, except that the addresses lead nowhere.
func settings() map[string]any {
	return map[string]any{
		"timezone":  "America/Sao_Paulo",
		"schedules": map[string]any{"daily": dailySchedule()},
		"function":  map[string]any{"url": "http://127.0.0.1:9/functions/v1/auto-backup", "rpc": "backup_all_data", "verify_table": nil},
		"alert": map[string]any{
			"enabled": true, "function": "alert-processor", "url": "http://127.0.0.1:9/functions/v1/alert-processor",
			"source": "Falha no Backup Automático", "overdue_after_seconds": 100800,
		},
		"retry":   map[string]any{"attempts": 1, "delay_seconds": 600},
		"secrets": []string{},
	}
}

// scenario is one backup and what happens to it.
type scenario struct {
	*testing.T
	*testDatabase
	backup   string
	document map[string]any
}

// newScenario installs a backup of its own at the time installed.
func (tdb *testDatabase) newScenario(t *testing.T) *scenario {
	t.Helper()
	s := &scenario{T: t, testDatabase: tdb, backup: fmt.Sprintf("case-%d", tdb.cases.Add(1)), document: settings()}
	s.exec(t, tdb.owner, `select vault.create_secret($1, $2 || '/token', 'managed')`, token, s.backup)
	s.exec(t, tdb.owner, `select vault.create_secret($1, $2 || '/alert-key', 'managed')`, tdb.stack.AnonKey, s.backup)
	s.exec(t, tdb.owner, `
		insert into auto_backup.settings (backup, document, owner, created_at, updated_at) values ($1, $2, 'test', $3, $3)`,
		s.backup, s.document, moment(t, installed))
	return s
}

// change rewrites the settings at a time.
func (s *scenario) change(at string, edit func(document map[string]any)) {
	s.Helper()
	edit(s.document)
	s.exec(s.T, s.owner, `update auto_backup.settings set document = $2, updated_at = $3 where backup = $1`,
		s.backup, s.document, moment(s.T, at))
}

// schedule edits the daily schedule.
func schedule(key string, value any) func(map[string]any) {
	return func(document map[string]any) {
		document["schedules"].(map[string]any)["daily"].(map[string]any)[key] = value
	}
}

func alertSetting(key string, value any) func(map[string]any) {
	return func(document map[string]any) { document["alert"].(map[string]any)[key] = value }
}

func retrySetting(key string, value any) func(map[string]any) {
	return func(document map[string]any) { document["retry"].(map[string]any)[key] = value }
}

// dispatch is a tick of the daily job. It answers with the run's id, or "".
func (s *scenario) dispatch(at string) string {
	s.Helper()
	id := one[*string](s.T, s.owner, `select auto_backup.dispatch($1, 'daily', $2)::text`, s.backup, moment(s.T, at))
	if id == nil {
		return ""
	}
	return *id
}

// start is a run that somebody asks for.
func (s *scenario) start(at string, wait bool) string {
	s.Helper()
	return one[string](s.T, s.owner, `select auto_backup.start($1, 'manual', 'manual', $2, 1, $3, $2)::text`, s.backup, moment(s.T, at), wait)
}

// watch is a tick of the watchdog. A problem that it meets is an error unless
// the case expects it.
func (s *scenario) watch(at string, problems ...string) map[string]any {
	s.Helper()
	summary := one[map[string]any](s.T, s.owner, `select auto_backup.watch($1, $2)`, s.backup, moment(s.T, at))
	s.nothingLeftOut(moment(s.T, at))
	met, _ := summary["problems"].([]any)
	if len(met) != len(problems) {
		s.Errorf("at %s the watchdog met the problems %q, want %q", at, met, problems)
		return summary
	}
	for i, problem := range problems {
		if !strings.Contains(met[i].(string), problem) {
			s.Errorf("at %s problem %d is %q, want it to contain %q", at, i, met[i], problem)
		}
	}
	return summary
}

// latest is the run that was requested last.
func (s *scenario) latest() string {
	s.Helper()
	return one[string](s.T, s.owner, `
		select run_id::text from auto_backup.runs where backup = $1 order by requested_at desc, due_at desc, attempt desc limit 1`, s.backup)
}

// reply is what pg_net keeps of a request's outcome.
type reply struct {
	status   int // 0: no answer
	body     string
	headers  map[string]string
	failure  string
	timedOut any           // nil, true or false
	after    time.Duration // between request and answer; 0 means one second
}

// ours are the headers of an answer of the Edge Function.
func ours() map[string]string {
	return map[string]string{"content-type": "application/json", "x-backup-function": payload.LoadContract().FunctionVersion}
}

// answer takes a request from pg_net's queue and puts its outcome in its place.
func (s *scenario) answer(request int64, posted time.Time, r reply) {
	s.Helper()
	var status *int
	if r.status != 0 {
		status = &r.status
	}
	var failure, body *string
	if r.failure != "" {
		failure = &r.failure
	}
	if r.body != "" {
		body = &r.body
	}
	if r.after == 0 {
		r.after = time.Second
	}
	s.exec(s.T, s.admin, `delete from net.http_request_queue where id = $1`, request)
	s.exec(s.T, s.admin, `
		insert into net._http_response (id, status_code, headers, content, timed_out, error_msg, created)
		values ($1, $2, $3, $4, $5, $6, $7)`, request, status, r.headers, body, r.timedOut, failure, posted.Add(r.after))
}

// respond answers the request of a run.
func (s *scenario) respond(run string, r reply) {
	s.Helper()
	request := one[int64](s.T, s.owner, `select request_id from auto_backup.runs where run_id = $1::uuid`, run)
	s.answer(request, one[time.Time](s.T, s.owner, `select posted_at from auto_backup.runs where run_id = $1::uuid`, run), r)
}

// accept is the function's usual answer, and its row in backup_logs.
func (s *scenario) accept(run string) {
	s.Helper()
	s.respond(run, reply{status: 202, headers: ours(), body: fmt.Sprintf(`{"success":null,"state":"running","run_id":%q}`, run)})
	s.claim(run)
}

// claim is the function's row in backup_logs while it works.
func (s *scenario) claim(run string) {
	s.Helper()
	s.exec(s.T, s.owner, `
		insert into public.backup_logs (id, action_type, records_affected, details, success)
		values ($1::uuid, 'auto_backup', 0, 'Backup automático iniciado em 02/03/2026 às 03:00 (America/Sao_Paulo) (entrega 01234567)', false)`, run)
}

const backupID = "5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11"

// succeed writes the function's two last rows.
func (s *scenario) succeed(run string) {
	s.Helper()
	s.logSuccess(run)
	s.exec(s.T, s.owner, `
		update public.backup_logs set success = true, records_affected = 321, details = 'Backup automático ID: ' || $2 || ' - Total: 321 registros'
		where id = $1::uuid`, run, backupID)
}

func (s *scenario) logSuccess(run string) {
	s.Helper()
	s.exec(s.T, s.owner, `
		insert into public.system_logs (type, message, context)
		select 'auto_backup', 'Backup automático concluído com sucesso: 321 registros salvos',
			signer.signed('auto_backup', jsonb_build_object('run_id', run_id, 'backup', backup, 'backup_id', $2::text, 'total_records', 321))
		from auto_backup.runs where run_id = $1::uuid`, run, backupID)
}

// fail writes the rows of a failure that the function could log. alert is its
// context.alert.
func (s *scenario) fail(run, code, alert string) {
	s.Helper()
	s.exec(s.T, s.owner, `
		insert into public.system_logs (type, message, context, created_at)
		select 'auto_backup_error', 'Backup automático falhou: motivo',
			signer.signed('auto_backup_error', jsonb_build_object(
				'run_id', run_id, 'backup', backup, 'code', $2::text, 'error', 'motivo', 'reported_by', 'function', 'alert', $3::jsonb)),
			posted_at + interval '2 seconds'
		from auto_backup.runs where run_id = $1::uuid`, run, code, alert)
	s.exec(s.T, s.owner, `update public.backup_logs set details = 'Backup automático falhou: motivo' where id = $1::uuid`, run)
}

// lose is a crash of PostgreSQL for one request.
func (s *scenario) lose(run string) {
	s.Helper()
	s.exec(s.T, s.admin, `
		delete from net.http_request_queue where id = (select request_id from auto_backup.runs where run_id = $1::uuid)`, run)
}

// alertCalls are the bodies of the calls of the alert function that wait in
// pg_net's queue.
func (s *scenario) alertCalls() []map[string]any {
	s.Helper()
	return column[map[string]any](s.T, s.admin, `
		select convert_from(body, 'UTF8')::jsonb from net.http_request_queue
		where url like '%/alert-processor' and convert_from(body, 'UTF8')::jsonb #>> '{details,backup}' = $1 order by id`, s.backup)
}

// answerAlert answers the alert call that the watchdog made last.
func (s *scenario) answerAlert(r reply) {
	s.Helper()
	rows := query(s.T, s.owner, `
		select alert_request_id, alert_posted_at from auto_backup.incidents
		where backup = $1 and alert_request_id is not null order by alert_requested_at desc, incident_id desc limit 1`, s.backup)
	call, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[struct {
		ID     int64
		Posted time.Time
	}])
	if err != nil {
		s.Fatalf("no alert call: %v", err)
	}
	s.answer(call.ID, call.Posted, r)
}

func delivered() reply {
	return reply{status: 200, body: `{"message":"Alert processed successfully","emails_sent":2,"emails_failed":0,"total_subscribers":2}`}
}

// state is all that a case has left behind, one line for each row:
//
//	run <due> #<attempt> <trigger> <state> [code] log:<who> alert:<what>
//	incident <kind> <due> <code> <alert> by <whom> calls:<n> [over]
//	backup_logs <details' first words> <success> <records>
//	system_logs <type> [code] by <whom> alert:<state>
//	unsent <what>
func (s *scenario) state() []string {
	s.Helper()
	return column[string](s.T, s.admin, `
		with lines (part, position, line) as (
			select 1, row_number() over (order by due_at, attempt), concat_ws(' ', 'run', to_char(due_at at time zone 'UTC', 'FMDD HH24:MI'),
				'#' || attempt, trigger, state, code, 'log:' || coalesce(logged_by, '-'), 'alert:' || coalesce(alert_state, '-'))
			from auto_backup.runs where backup = $1
			union all
			select 2, incident_id, concat_ws(' ', 'incident', kind, to_char(due_at at time zone 'UTC', 'FMDD HH24:MI'), code, alert_state,
				'by ' || alerted_by, 'calls:' || alert_attempts, case when recovered_by is not null then 'over' end)
			from auto_backup.incidents where backup = $1
			union all
			select 3, row_number() over (order by r.due_at, r.attempt), concat_ws(' ', 'backup_logs',
				substring(l.details from '^Backup automático (\w+)'), l.success::text, l.records_affected)
			from public.backup_logs l join auto_backup.runs r on r.run_id = l.id where r.backup = $1
			union all
			select 4, l.id, concat_ws(' ', 'system_logs', l.type, l.context ->> 'code',
				'by ' || coalesce(l.context ->> 'reported_by', 'function'), 'alert:' || (l.context #>> '{alert,state}'))
			from public.system_logs l where l.context ->> 'backup' = $1
			union all
			select 5, q.id, 'unsent ' || coalesce('run #' || (b.body ->> 'attempt') || case when b.body ->> 'alert' = 'false' then ' without alert' else '' end, 'alert')
			from net.http_request_queue q, lateral (select convert_from(q.body, 'UTF8')::jsonb) b (body)
			where b.body ->> 'backup' = $1 and b.body ? 'run_id' or b.body #>> '{details,backup}' = $1
		)
		select line from lines order by part, position`, s.backup)
}

// want compares what is left with what should be.
func (s *scenario) want(lines ...string) {
	s.Helper()
	if got := s.state(); !slices.Equal(got, lines) {
		s.Errorf("left behind:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

// unkeyed is how a gateway refuses a request without a key.
func unkeyed() reply {
	return reply{status: 401, headers: map[string]string{"sb-error-code": "UNAUTHORIZED_NO_AUTH_HEADER"}, body: `{"code":401,"message":"Missing authorization header"}`}
}

// runCases are the life of single runs and incidents. Each is one story and
// the complete state that it must leave behind.
var runCases = []struct {
	name   string
	proves string
	do     func(s *scenario)
	want   []string
}{
	{
		"success",
		"the chain of a good night leaves one succeeded run, no incident and no row of the watchdog",
		func(s *scenario) {
			run := s.dispatch("2 06:00:01")
			s.watch("2 06:00:02")
			s.accept(run)
			s.succeed(run)
			s.watch("2 06:10")
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule succeeded log:function alert:-",
			"backup_logs ID true 321",
			"system_logs auto_backup by function",
		},
	},
	{
		"still running",
		"a run that the function has taken stays running until it has had twelve minutes",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.watch("2 06:00:30")
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule running log:- alert:-",
			"backup_logs iniciado false 0",
		},
	},
	{
		"answer without a row",
		"202 alone makes a run running, and without any row in the logs it is given up after twelve minutes",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.respond(run, reply{status: 202, headers: ours(), body: fmt.Sprintf(`{"success":null,"state":"running","run_id":%q}`, run)})
			s.watch("2 06:10")
			if got := one[string](s.T, s.owner, `select state from auto_backup.runs where run_id = $1::uuid`, run); got != "running" {
				s.Errorf("after ten minutes the run is %s, want running", got)
			}
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule failed interrupted log:watchdog alert:pending",
			"incident failed 2 06:00 interrupted sent by watchdog calls:1",
			"system_logs auto_backup_error interrupted by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"killed half-way",
		"a run without an end is interrupted; the panel's row says so, the watchdog logs it and alerts, and a retry that succeeds ends the incident",
		func(s *scenario) {
			s.accept(s.dispatch("2 06:00"))
			s.watch("2 06:20")
			s.answerAlert(delivered())
			s.watch("2 06:30")
			retry := s.latest()
			s.accept(retry)
			s.succeed(retry)
			s.watch("2 06:40")
		},
		[]string{
			"run 2 06:00 #1 schedule failed interrupted log:watchdog alert:delivered",
			"run 2 06:00 #2 retry succeeded log:function alert:-",
			"incident failed 2 06:00 interrupted delivered by watchdog calls:1 over",
			"backup_logs interrompido false 0",
			"backup_logs ID true 321",
			"system_logs auto_backup_error interrupted by watchdog alert:delivered",
			"system_logs auto_backup by function",
		},
	},
	{
		"killed between the two last writes",
		"a function that was stopped after it logged the success has made a backup: the watchdog finishes its row",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.logSuccess(run)
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule succeeded log:function alert:-",
			"backup_logs ID true 321",
			"system_logs auto_backup by function",
		},
	},
	{
		"refused by the gateway",
		"a request that the gateway refused for want of a key is made again with one, in the same run, so nothing has failed",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.respond(run, unkeyed())
			s.watch("2 06:10")
			s.watch("2 06:10:30")
			s.want("run 2 06:00 #1 schedule requested log:- alert:-", "unsent run #1")
			s.accept(run)
			s.succeed(run)
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule succeeded log:function alert:-",
			"backup_logs ID true 321",
			"system_logs auto_backup by function",
		},
	},
	{
		"refused by the gateway until the watchdog came",
		"a request that was refused hours ago has its whole time again, and is given up only then",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.respond(run, unkeyed())
			s.watch("2 11:50")
			s.watch("2 12:01")
			s.want("run 2 06:00 #1 schedule requested log:- alert:-", "unsent run #1")
			s.watch("2 12:02")
		},
		[]string{
			"run 2 06:00 #1 schedule failed not_sent log:watchdog alert:pending",
			"incident failed 2 06:00 not_sent sent by watchdog calls:1",
			"system_logs auto_backup_error not_sent by watchdog alert:pending",
			"unsent run #1",
			"unsent alert",
		},
	},
	{
		"refused by the gateway in every way",
		"a request that was refused without a key and with it has failed, is alerted once, and is tried again from the beginning",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.respond(run, unkeyed())
			s.watch("2 06:10")
			s.respond(run, unkeyed())
			s.watch("2 06:20")
			s.answerAlert(delivered())
			s.watch("2 06:30")
			s.respond(s.latest(), unkeyed())
			s.watch("2 06:40")
		},
		[]string{
			"run 2 06:00 #1 schedule failed http_401 log:watchdog alert:delivered",
			"run 2 06:00 #2 retry requested log:- alert:-",
			"incident failed 2 06:00 http_401 delivered by watchdog calls:1",
			"system_logs auto_backup_error http_401 by watchdog alert:delivered",
			"unsent run #2 without alert",
		},
	},
	{
		"lost in a crash",
		"a request that is neither waiting nor answered is lost: failed, logged, alerted once and tried again",
		func(s *scenario) {
			s.lose(s.dispatch("2 06:00"))
			s.watch("2 06:04")
			s.want("run 2 06:00 #1 schedule requested log:- alert:-")
			s.watch("2 06:10")
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:pending",
			"run 2 06:00 #2 retry requested log:- alert:-",
			"incident failed 2 06:00 no_answer sent by watchdog calls:1",
			"system_logs auto_backup_error no_answer by watchdog alert:pending",
			"unsent alert",
			"unsent run #2 without alert",
		},
	},
	{
		"id used again",
		"after a crash pg_net begins its ids anew: an answer to another run, one from before the request and one from long after are not this run's",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			other := fmt.Sprintf(`{"success":null,"state":"running","run_id":%q}`, backupID)
			s.respond(run, reply{status: 202, headers: ours(), body: other})
			s.respond(run, reply{status: 500, body: `{"code":"before"}`, after: -time.Minute})
			s.respond(run, reply{status: 500, body: `{"code":"after"}`, after: 7 * time.Hour})
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:pending",
			"incident failed 2 06:00 no_answer sent by watchdog calls:1",
			"system_logs auto_backup_error no_answer by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"id in the queue again",
		"a request of somebody else with the same id does not make a lost one look as if it were waiting",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.exec(s.T, s.admin, `
				update net.http_request_queue set body = '{"another":"webhook"}'
				where id = (select request_id from auto_backup.runs where run_id = $1::uuid)`, run)
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:pending",
			"incident failed 2 06:00 no_answer sent by watchdog calls:1",
			"system_logs auto_backup_error no_answer by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"late answer",
		"an answer that comes after the first look still counts",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.watch("2 06:10") // waits in the queue
			s.respond(run, reply{status: 202, headers: ours(), body: fmt.Sprintf(`{"success":null,"state":"running","run_id":%q}`, run), after: 11 * time.Minute})
			s.claim(run)
			s.watch("2 06:20")
			s.succeed(run)
			s.watch("2 06:30")
		},
		[]string{
			"run 2 06:00 #1 schedule succeeded log:function alert:-",
			"backup_logs ID true 321",
			"system_logs auto_backup by function",
		},
	},
	{
		"success after all",
		"a run that was given up and then succeeds is a success, and ends its own incident",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.lose(run)
			s.watch("2 06:10")
			s.claim(run)
			s.succeed(run)
			s.watch("2 06:15")
		},
		[]string{
			"run 2 06:00 #1 schedule succeeded log:function alert:pending",
			"incident failed 2 06:00 no_answer sent by watchdog calls:1 over",
			"backup_logs ID true 321",
			"system_logs auto_backup_error no_answer by watchdog alert:pending",
			"system_logs auto_backup by function",
			"unsent alert",
		},
	},
	{
		"duplicate",
		"409 says that another delivery has the run; the logs decide",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.claim(run)
			s.respond(run, reply{status: 409, headers: ours(), body: fmt.Sprintf(`{"success":false,"code":"duplicate","run_id":%q}`, run)})
			s.watch("2 06:10")
			s.succeed(run)
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule succeeded log:function alert:-",
			"backup_logs ID true 321",
			"system_logs auto_backup by function",
		},
	},
	{
		"duplicate and dead",
		"a duplicate whose first delivery never ends is a failure",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.claim(run)
			s.respond(run, reply{status: 409, headers: ours(), body: fmt.Sprintf(`{"success":false,"code":"duplicate","run_id":%q}`, run)})
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule failed interrupted log:watchdog alert:pending",
			"incident failed 2 06:00 interrupted sent by watchdog calls:1",
			"backup_logs interrompido false 0",
			"system_logs auto_backup_error interrupted by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"duplicate without a trace",
		"a duplicate is waited for like a run that was taken, also where its row cannot be found",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.respond(run, reply{status: 409, headers: ours(), body: fmt.Sprintf(`{"success":false,"code":"duplicate","run_id":%q}`, run)})
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule running log:- alert:-",
		},
	},
	{
		"answer forgotten",
		"a run that was taken is not lost because pg_net has forgotten the answer in the meantime",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.respond(run, reply{status: 202, headers: ours(), body: fmt.Sprintf(`{"success":null,"state":"running","run_id":%q}`, run)})
			s.watch("2 06:01")
			s.exec(s.T, s.admin, `delete from net._http_response where id = (select request_id from auto_backup.runs where run_id = $1::uuid)`, run)
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule running log:- alert:-",
		},
	},
	{
		"timeout, but running",
		"pg_net's timeout says nothing about a function that has taken the run",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.respond(run, reply{failure: "Timeout of 10000 ms reached. Total time: 10001 ms", timedOut: true})
			s.watch("2 06:01")
			s.claim(run)
			s.succeed(run)
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule succeeded log:function alert:-",
			"backup_logs ID true 321",
			"system_logs auto_backup by function",
		},
	},
	{
		"answer with the result",
		"a caller that waits gets the result in the answer, and the run history takes it from there when the logs have vanished",
		func(s *scenario) {
			run := s.start("1 13:00", true)
			s.respond(run, reply{status: 200, headers: ours(), body: signedBody("auto_backup", `{"success":true,"message":"ok","run_id":%q,"backup_id":%q,"total_records":7}`, run, backupID)})
			s.watch("1 13:05")
		},
		[]string{
			"run 1 13:00 #1 manual succeeded log:- alert:-",
		},
	},
	{
		"failure that the function reported",
		"the function's word is enough: its code, no second row, no second alert; the retry asks for no alert, and what it fails with is part of the same incident",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.fail(run, "backup_failed", `{"state":"delivered","emails_sent":1,"emails_failed":0}`)
			s.watch("2 06:10")
			retry := s.latest()
			s.accept(retry)
			s.fail(retry, "rpc_timeout", `{"state":"suppressed"}`)
			s.watch("2 06:20")
			s.watch("2 06:30")
			s.watch("2 06:40")
		},
		[]string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:delivered",
			"run 2 06:00 #2 retry failed rpc_timeout log:function alert:suppressed",
			"incident failed 2 06:00 backup_failed delivered by function calls:0",
			"backup_logs falhou false 0",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
			"system_logs auto_backup_error rpc_timeout by function alert:suppressed",
		},
	},
	{
		"function's alert not delivered",
		"where the function's alert was not delivered, the watchdog alerts, and does not touch the function's row",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.fail(run, "backup_failed", `{"state":"not_delivered","http_status":401}`)
			s.watch("2 06:10")
			s.answerAlert(delivered())
			s.watch("2 06:20")
			s.watch("2 06:30")
		},
		[]string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:delivered",
			"incident failed 2 06:00 backup_failed delivered by watchdog calls:1",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error backup_failed by function alert:not_delivered",
		},
	},
	{
		"function's alert under way",
		"an alert that the function may still be sending is waited for two minutes, and taken over then",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.fail(run, "backup_failed", `{"state":"pending"}`)
			s.watch("2 06:01")
			if calls := s.alertCalls(); len(calls) != 0 {
				s.Errorf("%d alert calls after one minute, want none", len(calls))
			}
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:pending",
			"incident failed 2 06:00 backup_failed sent by watchdog calls:1",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error backup_failed by function alert:pending",
			"unsent alert",
		},
	},
	{
		"function's alert delivered at last",
		"what the function says of its alert after the first look counts",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.fail(run, "backup_failed", `{"state":"pending"}`)
			s.watch("2 06:01")
			s.exec(s.T, s.owner, `update public.system_logs set context = signer.signed(type, context || '{"alert":{"state":"delivered"}}') where context ->> 'run_id' = $1`, run)
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:delivered",
			"incident failed 2 06:00 backup_failed delivered by function calls:0",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
		},
	},
	{
		"function's alert reached some",
		"an alert that reached some of the subscribers is not sent again to them, and is no delivered one either",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.fail(run, "backup_failed", `{"state":"not_delivered","emails_sent":1,"emails_failed":1}`)
			s.watch("2 06:10")
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:not_delivered",
			"incident failed 2 06:00 backup_failed not_delivered by function calls:0",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error backup_failed by function alert:not_delivered",
		},
	},
	{
		"claim refused",
		"a function that could not claim the run says so in its answer, together with its alert",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.respond(run, reply{status: 500, headers: ours(), body: signedBody("auto_backup_error",
				`{"success":false,"code":"log_rejected","message":"m","error":"o banco recusou o registro em backup_logs","run_id":%q,"alert":{"state":"delivered","emails_sent":2,"emails_failed":0}}`, run)})
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule failed log_rejected log:watchdog alert:delivered",
			"incident failed 2 06:00 log_rejected delivered by function calls:0",
			"system_logs auto_backup_error log_rejected by watchdog alert:delivered",
		},
	},
	{
		"failed row only",
		"where only backup_logs tells of the failure, it is believed after five minutes and logged by the watchdog",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.exec(s.T, s.owner, `update public.backup_logs set details = $2 where id = $1::uuid`, run, signedDetails(run, "Backup automático falhou: sem espaço"))
			s.watch("2 06:04")
			s.want("run 2 06:00 #1 schedule running log:- alert:-", "backup_logs falhou false 0")
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule failed function_failed log:watchdog alert:pending",
			"incident failed 2 06:00 function_failed sent by watchdog calls:1",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error function_failed by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"failed row with its alert",
		"a function that cannot write system_logs says in backup_logs that its alert was sent; people are not told again",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.exec(s.T, s.owner, `update public.backup_logs set details = $2 where id = $1::uuid`, run, signedDetails(run, "Backup automático falhou: sem (espaço) (alerta enviado)"))
			s.watch("2 06:10")
			if got, want := one[string](s.T, s.owner, `select error from auto_backup.runs where run_id = $1::uuid`, run), "sem (espaço)"; got != want {
				s.Errorf("the run's error is %q, want %q", got, want)
			}
		},
		[]string{
			"run 2 06:00 #1 schedule failed function_failed log:watchdog alert:delivered",
			"incident failed 2 06:00 function_failed delivered by function calls:0",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error function_failed by watchdog alert:delivered",
		},
	},
	{
		"failed row with its alert to some",
		"where that alert reached some of the subscribers, it is not sent to them again, and counts as not delivered",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.exec(s.T, s.owner, `update public.backup_logs set details = $2 where id = $1::uuid`, run, signedDetails(run, "Backup automático falhou: sem espaço (alerta enviado só a uma parte dos assinantes)"))
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 schedule failed function_failed log:watchdog alert:not_delivered",
			"incident failed 2 06:00 function_failed not_delivered by function calls:0",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error function_failed by watchdog alert:not_delivered",
		},
	},
	{
		"alert refused three times",
		"an alert is sent three times at most; then it is recorded as not delivered, here and in the log",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			s.lose(s.dispatch("2 06:00"))
			s.watch("2 06:10")
			s.answerAlert(reply{status: 401, body: `{"code":"UNAUTHORIZED_NO_AUTH_HEADER"}`})
			s.watch("2 06:20")
			s.answerAlert(reply{status: 200, body: `{"message":"No alert subscribers found"}`})
			s.watch("2 06:30")
			s.answerAlert(reply{failure: "Timeout was reached"})
			s.watch("2 06:40")
			s.watch("2 06:50")
			s.watch("2 07:00")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:not_delivered",
			"incident failed 2 06:00 no_answer not_delivered by watchdog calls:3",
			"system_logs auto_backup_error no_answer by watchdog alert:not_delivered",
		},
	},
	{
		"alert reached some",
		"the watchdog's own alert is not repeated either once somebody has it",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			s.lose(s.dispatch("2 06:00"))
			s.watch("2 06:10")
			s.answerAlert(reply{status: 200, body: `{"message":"Alert processed successfully","emails_sent":1,"emails_failed":2}`})
			s.watch("2 06:20")
			s.watch("2 06:30")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:not_delivered",
			"incident failed 2 06:00 no_answer not_delivered by watchdog calls:1",
			"system_logs auto_backup_error no_answer by watchdog alert:not_delivered",
		},
	},
	{
		"alert lost in a crash",
		"an alert call that vanished is made again",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			s.lose(s.dispatch("2 06:00"))
			s.watch("2 06:10")
			s.exec(s.T, s.admin, `delete from net.http_request_queue where id = (select alert_request_id from auto_backup.incidents where backup = $1)`, s.backup)
			s.watch("2 06:20")
			s.answerAlert(delivered())
			s.watch("2 06:30")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:delivered",
			"incident failed 2 06:00 no_answer delivered by watchdog calls:2",
			"system_logs auto_backup_error no_answer by watchdog alert:delivered",
		},
	},
	{
		"alert stuck in the queue",
		"while pg_net's worker stands still, no second call is queued; after half an hour the alert counts as not delivered, and as delivered when it gets through at last",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			s.lose(s.dispatch("2 06:00"))
			for _, at := range []string{"2 06:10", "2 06:20", "2 06:30", "2 06:40", "2 06:50"} {
				s.watch(at)
			}
			if got, want := s.state()[1], "incident failed 2 06:00 no_answer not_delivered by watchdog calls:1"; got != want {
				s.Errorf("after 40 minutes in the queue: %s, want %s", got, want)
			}
			s.answerAlert(delivered())
			s.watch("2 07:00")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:delivered",
			"incident failed 2 06:00 no_answer delivered by watchdog calls:1",
			"system_logs auto_backup_error no_answer by watchdog alert:delivered",
		},
	},
	{
		"alerts off",
		"with alerts switched off a failure is still logged, and the absence of the alert is on record",
		func(s *scenario) {
			s.change(installed, alertSetting("enabled", false))
			s.lose(s.dispatch("2 06:00"))
			s.watch("2 06:10")
			s.watch("2 16:01")
			s.exec(s.T, s.owner, `delete from auto_backup.runs where backup = $1 and attempt = 2`, s.backup)
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:off",
			"incident failed 2 06:00 no_answer off calls:0",
			"incident overdue 2 16:00 overdue off calls:0",
			"system_logs auto_backup_error no_answer by watchdog alert:off",
			"system_logs auto_backup_error overdue by watchdog alert:off",
			"unsent run #2 without alert",
		},
	},
	{
		"worker stands still",
		"a request that pg_net does not send is withdrawn before the next one is made: when the worker goes on, there is one backup and one alert",
		func(s *scenario) {
			s.dispatch("2 06:00")
			s.watch("2 06:10")
			s.watch("2 06:20") // given up
			s.watch("2 06:30") // tried again
			s.watch("2 06:40")
			s.watch("2 06:50") // given up again
			s.watch("2 07:00")
		},
		[]string{
			"run 2 06:00 #1 schedule failed not_sent log:watchdog alert:not_delivered",
			"run 2 06:00 #2 retry failed not_sent log:watchdog alert:suppressed",
			"incident failed 2 06:00 not_sent not_delivered by watchdog calls:1",
			"system_logs auto_backup_error not_sent by watchdog alert:not_delivered",
			"system_logs auto_backup_error not_sent by watchdog alert:suppressed",
			"unsent alert",
			"unsent run #2 without alert",
		},
	},
	{
		"worker goes on",
		"when the worker goes on after all was given up, the last request makes the backup and the incident is over",
		func(s *scenario) {
			s.dispatch("2 06:00")
			s.watch("2 06:20")
			s.watch("2 06:30")
			s.watch("2 06:50")
			run := s.latest()
			s.answerAlert(delivered())
			s.accept(run)
			s.succeed(run)
			s.watch("2 07:00")
		},
		[]string{
			"run 2 06:00 #1 schedule failed not_sent log:watchdog alert:delivered",
			"run 2 06:00 #2 retry succeeded log:function alert:-",
			"incident failed 2 06:00 not_sent delivered by watchdog calls:1 over",
			"backup_logs ID true 321",
			"system_logs auto_backup_error not_sent by watchdog alert:delivered",
			"system_logs auto_backup_error not_sent by watchdog alert:suppressed",
			"system_logs auto_backup by function",
		},
	},
	{
		"retries are bounded",
		"a backup is tried as often as the settings say, each time after the delay, and not once more",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 2))
			run := s.dispatch("2 06:00")
			for _, at := range []string{"2 06:05", "2 06:10", "2 06:15", "2 06:20", "2 06:25", "2 06:30", "2 06:40", "2 06:50"} {
				if latest := s.latest(); latest != run || at == "2 06:05" {
					run = latest
					s.accept(run)
					s.fail(run, "backup_failed", `{"state":"delivered"}`)
				}
				s.watch(at)
			}
		},
		[]string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:delivered",
			"run 2 06:00 #2 retry failed backup_failed log:function alert:suppressed",
			"run 2 06:00 #3 retry failed backup_failed log:function alert:suppressed",
			"incident failed 2 06:00 backup_failed delivered by function calls:0",
			"backup_logs falhou false 0",
			"backup_logs falhou false 0",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
		},
	},
	{
		"no retry by hand",
		"a run that somebody asked for is alerted like any other, but is theirs to repeat",
		func(s *scenario) {
			run := s.start("1 13:00", false)
			s.accept(run)
			s.fail(run, "backup_failed", `{"state":"delivered"}`)
			s.exec(s.T, s.owner, `update auto_backup.runs set schedule = 'daily' where run_id = $1::uuid`, run)
			s.watch("1 13:10")
			s.watch("1 13:20")
			s.watch("1 13:30")
		},
		[]string{
			"run 1 13:00 #1 manual failed backup_failed log:function alert:delivered",
			"incident failed 1 13:00 backup_failed delivered by function calls:0",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
		},
	},
	{
		"no retry of the past",
		"once a later due time has its run, an old failure is not tried again",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.fail(run, "backup_failed", `{"state":"delivered"}`)
			next := s.dispatch("3 06:00")
			s.accept(next)
			s.succeed(next)
			s.watch("3 06:10")
			s.watch("3 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:delivered",
			"run 3 06:00 #1 schedule succeeded log:function alert:-",
			"incident failed 2 06:00 backup_failed delivered by function calls:0",
			"backup_logs falhou false 0",
			"backup_logs ID true 321",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
			"system_logs auto_backup by function",
		},
	},
	{
		"no two at once",
		"a retry waits while another run of the backup is under way",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.fail(run, "backup_failed", `{"state":"delivered"}`)
			other := s.start("2 06:09", false)
			s.accept(other)
			s.watch("2 06:10")
			if latest := s.latest(); latest != other {
				s.Error("a retry did not wait for the run that was under way")
			}
			s.fail(other, "backup_failed", `{"state":"delivered"}`)
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 schedule failed backup_failed log:function alert:delivered",
			"run 2 06:00 #2 retry requested log:- alert:-",
			"run 2 06:09 #1 manual failed backup_failed log:function alert:delivered",
			"incident failed 2 06:00 backup_failed delivered by function calls:0",
			"incident failed 2 06:09 backup_failed delivered by function calls:0",
			"backup_logs falhou false 0",
			"backup_logs falhou false 0",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
			"system_logs auto_backup_error backup_failed by function alert:delivered",
			"unsent run #2 without alert",
		},
	},
	{
		"catch-up after a pause",
		"after days without a tick there is one run, for the latest due time; the run that the pause cut off is closed, and one alert tells of each incident",
		func(s *scenario) {
			s.lose(s.dispatch("2 06:00"))
			s.watch("6 09:03")
			run := s.latest()
			s.accept(run)
			s.watch("6 09:10")
			s.answerAlert(delivered()) // overdue waits for this one
			s.succeed(run)
			s.watch("6 09:20")
			s.watch("6 09:30")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:delivered",
			"run 6 06:00 #1 catch_up succeeded log:function alert:-",
			"incident failed 2 06:00 no_answer delivered by watchdog calls:1 over",
			"incident overdue 2 16:00 overdue suppressed calls:0 over",
			"backup_logs ID true 321",
			"system_logs auto_backup_error no_answer by watchdog alert:delivered",
			"system_logs auto_backup_error overdue by watchdog alert:suppressed",
			"system_logs auto_backup by function",
		},
	},
	{
		"catch-up waits for its turn",
		"what was missed is made up for when no other run of the backup is under way",
		func(s *scenario) {
			run := s.start("2 06:04", false)
			s.accept(run)
			s.watch("2 06:10")
			s.want("run 2 06:04 #1 manual running log:- alert:-", "backup_logs iniciado false 0")
			s.succeed(run)
			s.watch("2 06:20")
		},
		[]string{
			"run 2 06:00 #1 catch_up requested log:- alert:-",
			"run 2 06:04 #1 manual succeeded log:function alert:-",
			"backup_logs ID true 321",
			"system_logs auto_backup by function",
			"unsent run #1",
		},
	},
	{
		"catch-up waits for a late tick",
		"a due time is missed five minutes after it, not before, and is made up for once",
		func(s *scenario) {
			s.watch("2 06:00")
			s.watch("2 06:04")
			s.want()
			s.watch("2 06:10")
			s.watch("2 06:11")
			if run := s.dispatch("2 06:03"); run != "" {
				s.Error("a late tick started a second run of the same due time")
			}
		},
		[]string{
			"run 2 06:00 #1 catch_up requested log:- alert:-",
			"unsent run #1",
		},
	},
	{
		"catch-up fails, too",
		"a run that makes up for a missed one is alerted and tried again like any other",
		func(s *scenario) {
			s.watch("2 06:10")
			run := s.latest()
			s.respond(run, reply{status: 404, headers: map[string]string{"sb-error-code": "NOT_FOUND"}})
			s.watch("2 06:20")
			s.answerAlert(delivered())
			s.watch("2 06:30")
		},
		[]string{
			"run 2 06:00 #1 catch_up failed http_404 log:watchdog alert:delivered",
			"run 2 06:00 #2 retry requested log:- alert:-",
			"incident failed 2 06:00 http_404 delivered by watchdog calls:1",
			"system_logs auto_backup_error http_404 by watchdog alert:delivered",
			"unsent run #2 without alert",
		},
	},
	{
		"changed schedule",
		"what would have been due before the schedule was changed is not missed",
		func(s *scenario) {
			run := s.dispatch("2 06:00")
			s.accept(run)
			s.succeed(run)
			s.watch("2 06:10")
			s.change("2 09:00", schedule("hours", []int{5})) // 08:00 UTC
			s.watch("2 09:10")
			s.watch("2 09:20")
		},
		[]string{
			"run 2 06:00 #1 schedule succeeded log:function alert:-",
			"backup_logs ID true 321",
			"system_logs auto_backup by function",
		},
	},
	{
		"schedule switched off and on",
		"a schedule that is off is neither dispatched nor missed nor overdue, and what fell into that time is not made up for",
		func(s *scenario) {
			s.change("1 13:00", schedule("enabled", false))
			if run := s.dispatch("2 06:00"); run != "" {
				s.Error("a schedule that is off was dispatched")
			}
			s.watch("2 06:10")
			s.watch("4 06:10")
			s.change("4 07:00", schedule("enabled", true))
			s.watch("4 07:10")
		},
		nil,
	},
	{
		"change of something else",
		"a change that does not concern the schedule does not make a missed due time forgotten",
		func(s *scenario) {
			s.watch("1 12:10")
			s.change("2 06:05", retrySetting("attempts", 0))
			s.watch("2 06:10")
		},
		[]string{
			"run 2 06:00 #1 catch_up requested log:- alert:-",
			"unsent run #1",
		},
	},
	{
		"two schedules missed",
		"two schedules that were missed are made up for by one run",
		func(s *scenario) {
			s.change(installed, func(document map[string]any) {
				noon := dailySchedule()
				noon["hours"] = []int{12}
				document["schedules"].(map[string]any)["noon"] = noon
			})
			s.watch("5 20:00")
			s.answerAlert(delivered())
			run := s.latest()
			s.accept(run)
			s.succeed(run)
			s.watch("5 20:10")
			s.watch("5 20:20")
		},
		[]string{
			"run 5 15:00 #1 catch_up succeeded log:function alert:-",
			"incident overdue 2 16:00 overdue delivered by watchdog calls:1 over",
			"backup_logs ID true 321",
			"system_logs auto_backup_error overdue by watchdog alert:delivered",
			"system_logs auto_backup by function",
		},
	},
	{
		"overdue once",
		"without a success there is one overdue alert for the whole time, and a new one for the next such time",
		func(s *scenario) {
			s.change(installed, alertSetting("overdue_after_seconds", 3600))
			s.watch("1 13:00")
			s.watch("1 13:10")
			s.answerAlert(delivered())
			s.watch("1 13:20")
			s.change(installed, alertSetting("overdue_after_seconds", 3000))
			s.watch("1 14:00")
			s.watch("1 18:00")
			run := s.start("1 19:00", false)
			s.accept(run)
			s.succeed(run)
			s.watch("1 19:10")
			s.watch("1 19:50")
			s.watch("1 20:10")
			s.answerAlert(delivered())
			s.watch("1 20:20")
		},
		[]string{
			"run 1 19:00 #1 manual succeeded log:function alert:-",
			"incident overdue 1 13:00 overdue delivered by watchdog calls:1 over",
			"incident overdue 1 19:50 overdue delivered by watchdog calls:1",
			"backup_logs ID true 321",
			"system_logs auto_backup_error overdue by watchdog alert:delivered",
			"system_logs auto_backup by function",
			"system_logs auto_backup_error overdue by watchdog alert:delivered",
		},
	},
	{
		"overdue after an alert that failed",
		"being overdue is alerted where the alert of the failure before it was not delivered",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			s.lose(s.dispatch("2 06:00"))
			for _, at := range []string{"2 06:10", "2 06:20", "2 06:30"} {
				s.watch(at)
				s.answerAlert(reply{status: 500, body: `{"error":"Internal server error"}`})
			}
			s.watch("2 06:40")
			s.watch("2 16:01")
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:not_delivered",
			"incident failed 2 06:00 no_answer not_delivered by watchdog calls:3",
			"incident overdue 2 16:00 overdue sent by watchdog calls:1",
			"system_logs auto_backup_error no_answer by watchdog alert:not_delivered",
			"system_logs auto_backup_error overdue by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"token missing",
		"a tick without a token leaves no row and raises; the watchdog finds the due time without a run, and needs no token to alert",
		func(s *scenario) {
			s.exec(s.T, s.owner, `delete from vault.secrets where name = $1 || '/token'`, s.backup)
			s.refuseDispatch("2 06:00", `the vault secret "`+s.backup+`/token" is missing`)
			s.watch("2 06:10", "/token")
			s.watch("2 06:20", "/token")
			s.answerAlert(delivered())
			s.watch("2 06:30")
			s.watch("2 06:40")
		},
		[]string{
			"run 2 06:00 #1 catch_up failed token_missing log:watchdog alert:delivered",
			"run 2 06:00 #2 retry failed token_missing log:watchdog alert:suppressed",
			"incident failed 2 06:00 token_missing delivered by watchdog calls:1",
			"system_logs auto_backup_error token_missing by watchdog alert:delivered",
			"system_logs auto_backup_error token_missing by watchdog alert:suppressed",
		},
	},
	{
		"token with a line break",
		"a line break in the token would end the request's headers: nothing is sent, and the error says why without the token",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			s.exec(s.T, s.owner, `select vault.update_secret(id, $2) from vault.secrets where name = $1 || '/token'`, s.backup, token+"\n")
			s.refuseDispatch("2 06:00", "it contains white space or a line break")
			s.watch("2 06:10", "line break")
		},
		[]string{
			"run 2 06:00 #1 catch_up failed token_invalid log:watchdog alert:pending",
			"incident failed 2 06:00 token_invalid sent by watchdog calls:1",
			"system_logs auto_backup_error token_invalid by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"token of another project",
		"a token that vault cannot decrypt, as in a database restored elsewhere, is a damaged one; its digest is no error",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			s.exec(s.T, s.admin, `update vault.secrets set secret = encode(sha256(secret::bytea) || sha256(secret::bytea), 'base64') where name = $1 || '/token'`, s.backup)
			s.refuseDispatch("2 06:00", "vault cannot decrypt it")
			if digest := one[*string](s.T, s.owner, `select auto_backup.token_digest($1)`, s.backup); digest != nil {
				s.Errorf("the digest is %s, want null", *digest)
			}
			s.watch("2 06:10", "vault cannot decrypt it")
		},
		[]string{
			"run 2 06:00 #1 catch_up failed token_invalid log:watchdog alert:pending",
			"incident failed 2 06:00 token_invalid sent by watchdog calls:1",
			"system_logs auto_backup_error token_invalid by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"address missing",
		"settings that pg_net cannot use are a failed run with its reason, not silence",
		func(s *scenario) {
			s.change(installed, func(document map[string]any) { document["function"].(map[string]any)["url"] = "nowhere" })
			s.change(installed, retrySetting("attempts", 0))
			s.refuseDispatch("2 06:00", "Bad scheme")
			s.watch("2 06:10", "Bad scheme")
		},
		[]string{
			"run 2 06:00 #1 catch_up failed not_dispatched log:watchdog alert:pending",
			"incident failed 2 06:00 not_dispatched sent by watchdog calls:1",
			"system_logs auto_backup_error not_dispatched by watchdog alert:pending",
			"unsent alert",
		},
	},
	{
		"alert address missing",
		"an alert that cannot even be posted is tried three times and recorded with its reason",
		func(s *scenario) {
			s.change(installed, retrySetting("attempts", 0))
			s.change(installed, alertSetting("url", "nowhere"))
			s.lose(s.dispatch("2 06:00"))
			for _, at := range []string{"2 06:10", "2 06:20", "2 06:30", "2 06:40", "2 06:50"} {
				s.watch(at)
			}
			if got := one[string](s.T, s.owner, `select alert_error from auto_backup.incidents where backup = $1`, s.backup); !strings.Contains(got, "Bad scheme") {
				s.Errorf("the alert's error is %q, want it to name the address", got)
			}
		},
		[]string{
			"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:not_delivered",
			"incident failed 2 06:00 no_answer not_delivered by watchdog calls:3",
			"system_logs auto_backup_error no_answer by watchdog alert:not_delivered",
		},
	},
}

// refuseDispatch is a tick of the daily job that has to raise.
func (s *scenario) refuseDispatch(at, reason string) {
	s.Helper()
	_, err := s.owner.Exec(context.Background(), `select auto_backup.dispatch($1, 'daily', $2)`, s.backup, moment(s.T, at))
	switch {
	case err == nil:
		s.Errorf("the dispatch at %s did not raise", at)
	case !strings.Contains(err.Error(), reason):
		s.Errorf("the dispatch raised %q, want %q", err, reason)
	case strings.Contains(err.Error(), token):
		s.Error("the error shows the token")
	}
}

// httpCases are responses that do not report a backup, and what the run history
// records for each.
var httpCases = []struct {
	name   string
	reply  reply
	code   string
	detail string
}{
	{"function: wrong token", reply{status: 401, headers: ours(), body: `{"success":false,"code":"unauthorized","message":"m"}`}, "unauthorized", "HTTP 401, unauthorized"},
	{"function: no token", reply{status: 503, headers: ours(), body: `{"success":false,"code":"token_not_configured"}`}, "token_not_configured", "HTTP 503, token_not_configured"},
	{"function: bad configuration, and the platform's own header", reply{status: 500, headers: map[string]string{"X-Backup-Function": "1", "sb-error-code": "EDGE_FUNCTION_ERROR"}, body: `{"success":false,"code":"bad_config"}`}, "bad_config", "HTTP 500, bad_config"},
	{"function: bad request", reply{status: 400, headers: ours(), body: `{"success":false,"code":"bad_request"}`}, "bad_request", "HTTP 400, bad_request"},
	{"function: another backup's", reply{status: 400, headers: ours(), body: `{"success":false,"code":"wrong_backup"}`}, "wrong_backup", "HTTP 400, wrong_backup"},
	{"gateway: no authorization", reply{status: 401, headers: map[string]string{"sb-error-code": "UNAUTHORIZED_NO_AUTH_HEADER"}, body: `{"code":401,"message":"Missing authorization header"}`}, "http_401", "HTTP 401, UNAUTHORIZED_NO_AUTH_HEADER"},
	{"gateway: a number as code", reply{status: 401, body: `{"code":401,"message":"Invalid JWT"}`}, "http_401", "HTTP 401"},
	{"gateway: restricted project", reply{status: 402, body: "{}"}, "http_402", "HTTP 402"},
	{"gateway: function gone", reply{status: 404, headers: map[string]string{"sb-error-code": "NOT_FOUND"}, body: `{"code":"NOT_FOUND","message":"Requested function was not found"}`}, "http_404", "HTTP 404, NOT_FOUND"},
	{"gateway: too many requests", reply{status: 429, headers: map[string]string{"sb-error-code": "RATE_LIMIT_EXCEEDED"}}, "http_429", "HTTP 429, RATE_LIMIT_EXCEEDED"},
	{"gateway: crash", reply{status: 500, body: "Internal Server Error"}, "http_500", "HTTP 500"},
	{"gateway: HTML", reply{status: 502, headers: map[string]string{"content-type": "text/html"}, body: "<html>code</html>"}, "http_502", "HTTP 502"},
	{"gateway: crash at start", reply{status: 503, headers: map[string]string{"sb-error-code": "BOOT_ERROR"}, body: `{"code":"BOOT_ERROR"}`}, "http_503", "HTTP 503, BOOT_ERROR"},
	{"gateway: no answer in time", reply{status: 504, headers: map[string]string{"sb-error-code": "IDLE_TIMEOUT"}}, "http_504", "HTTP 504, IDLE_TIMEOUT"},
	{"gateway: limits", reply{status: 546, headers: map[string]string{"sb-error-code": "WORKER_LIMIT"}}, "http_546", "HTTP 546, WORKER_LIMIT"},
	{"a code that is no code", reply{status: 500, body: `{"code":"Bearer eyJhbGciOi <b>"}`}, "http_500", "HTTP 500"},
	{"website", reply{status: 200, headers: map[string]string{"content-type": "text/html"}, body: "<!doctype html>"}, "unexpected_answer", "HTTP 200"},
	{"another function's success", reply{status: 200, body: `{"success":true,"backup_id":"` + backupID + `"}`}, "unexpected_answer", "HTTP 200"},
	{"a success of another form", reply{status: 200, headers: ours(), body: `{"success":"true"}`}, "unexpected_answer", "HTTP 200"},
	{"another function's 202", reply{status: 202, body: `{"success":null}`}, "unexpected_answer", "HTTP 202"},
	{"nothing", reply{status: 204}, "unexpected_answer", "HTTP 204"},
	{"JSON that is no object", reply{status: 200, body: `[1]`}, "unexpected_answer", "HTTP 200"},
	{"broken JSON", reply{status: 200, body: `{"success":tr`}, "unexpected_answer", "HTTP 200"},
	{"somebody else's duplicate", reply{status: 409, body: `{"code":"23505"}`}, "http_409", "HTTP 409"},
	{"timeout, pg_net 0.20", reply{failure: "Timeout of 10000 ms reached. Total time: 10000.4 ms", timedOut: true}, "timeout", "Timeout of 10000 ms reached. Total time: 10000.4 ms"},
	{"timeout, pg_net 0.14", reply{failure: "Timeout of 10000 ms reached. Total time: 10000.4 ms"}, "timeout", "Timeout of 10000 ms reached. Total time: 10000.4 ms"},
	{"timeout, pg_net 0.7", reply{failure: "Timeout was reached"}, "timeout", "Timeout was reached"},
	{"refused", reply{failure: "Couldn't connect to server", timedOut: false}, "unreachable", "Couldn't connect to server"},
	{"no such host, pg_net 0.14", reply{failure: "Couldn't resolve host name"}, "unreachable", "Couldn't resolve host name"},
	{"closed without an answer", reply{failure: "Server returned nothing (no headers, no data)"}, "unreachable", "Server returned nothing (no headers, no data)"},
}

// TestDispatcherSQL runs everything on one stack: first what each backup can
// have for itself, then what concerns the whole database.
func TestDispatcherSQL(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)

	// Proves for each story that exactly the rows are left which it should leave.
	for _, c := range runCases {
		t.Run(c.name, func(t *testing.T) {
			s := tdb.newScenario(t)
			c.do(s)
			s.want(c.want...)
			if t.Failed() {
				t.Log("this case proves:", c.proves)
			}
		})
	}

	// Proves that every answer that is no backup is a failure with a name, is
	// logged and alerted by the watchdog, and is repeated nowhere word by word.
	t.Run("answers", func(t *testing.T) {
		for _, c := range httpCases {
			t.Run(c.name, func(t *testing.T) {
				s := tdb.newScenario(t)
				s.change(installed, retrySetting("attempts", 0))
				// Without a key there is no other way after a refusal.
				s.exec(t, s.owner, `delete from vault.secrets where name = $1 || '/alert-key'`, s.backup)
				run := s.dispatch("2 06:00")
				s.respond(run, c.reply)
				s.watch("2 06:10")
				s.want(
					"run 2 06:00 #1 schedule failed "+c.code+" log:watchdog alert:pending",
					"incident failed 2 06:00 "+c.code+" sent by watchdog calls:1",
					"system_logs auto_backup_error "+c.code+" by watchdog alert:pending",
					"unsent alert",
				)
				if got := one[string](t, s.owner, `select error from auto_backup.runs where run_id = $1::uuid`, run); got != c.detail {
					t.Errorf("the run's error is %q, want %q", got, c.detail)
				}
			})
		}
	})

	t.Run("ticks", tdb.testTicks)
	t.Run("two at once", tdb.testTwoAtOnce)
	t.Run("locks of others", tdb.testForeignLocks)
	t.Run("lines", tdb.testSharedLines)
	t.Run("codes of others", tdb.testForeignCodes)
	t.Run("locked logs", tdb.testLockedLogs)
	t.Run("locked rows", tdb.testLockedRows)
	t.Run("floods", tdb.testFloods)
	t.Run("a clock that was wrong", tdb.testFutureRuns)
	t.Run("an open run of a wrong clock", tdb.testOpenRunOfTheFuture)
	t.Run("scripts wait for each other", tdb.testScriptsWait)
	t.Run("requests", tdb.testRequests)
	t.Run("texts", tdb.testTexts)
	t.Run("texts lost", tdb.testTextsLost)
	t.Run("SQLSTATE", tdb.testSQLState)
	t.Run("contract", tdb.testContract)
	t.Run("signatures", tdb.testSignatures)
	t.Run("forgeries", tdb.testForgeries)
	t.Run("answers to a probe", tdb.testProbeAnswers)
	t.Run("rotation of the signing token", tdb.testFormerToken)
	t.Run("rotation after a refusal", tdb.testRefusedRotation)
	t.Run("reasons of missed ticks", tdb.testMissedTicks)
	t.Run("history in plain words", tdb.testHistory)
	t.Run("outcomes in the logs", tdb.testOutcomes)
	t.Run("answered meanwhile", tdb.testAnsweredMeanwhile)
	t.Run("pruning", tdb.testPruning)
	t.Run("closed to everybody else", tdb.testClosed)
	t.Run("logs missing", tdb.testBrokenLogs)
	t.Run("pg_net missing", tdb.testBrokenNet)
	t.Run("crash of PostgreSQL", tdb.testCrash)
	t.Run("lease", tdb.testLease)
	t.Run("upgrade", tdb.testUpgrade)
	t.Run("install again and remove", tdb.testInstallAgainAndRemove)
}

// testTicks proves which ticks start a run and for which due time.
func (tdb *testDatabase) testTicks(t *testing.T) {
	guarded := func(document map[string]any) { schedule("guarded", true)(document) }
	for _, c := range []struct {
		name string
		edit func(map[string]any)
		at   string
		want string // the due time, or nothing
	}{
		{"on time", func(map[string]any) {}, "2 06:00:02", "2026-03-02 06:00:00"},
		{"three minutes late", func(map[string]any) {}, "2 06:03:40", "2026-03-02 06:00:00"},
		{"at a time that somebody gave the job", func(map[string]any) {}, "2 06:30:40", ""},
		{"guarded, due", guarded, "2 06:00:02", "2026-03-02 06:00:00"},
		{"guarded, late", guarded, "2 06:02:00", "2026-03-02 06:00:00"},
		{"guarded, the other tick", guarded, "2 05:00:01", ""},
		{"guarded, an hour later", guarded, "2 07:00:01", ""},
		{"switched off", schedule("enabled", false), "2 06:00:00", ""},
		{"unreadable, but never ticks otherwise", schedule("zone", "Nowhere/Else"), "2 06:00:00", "2026-03-02 06:00:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tdb.newScenario(t)
			s.change(installed, c.edit)
			s.dispatch(c.at)
			due := strings.Join(column[string](t, s.owner, `
				select to_char(due_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from auto_backup.runs where backup = $1`, s.backup), " ")
			if due != c.want {
				t.Errorf("a tick at %s started a run for %q, want %q", c.at, due, c.want)
			}
			if again := s.dispatch(c.at); again != "" {
				t.Error("the same tick started a second run")
			}
		})
	}

	// The provider has compiled the job by rules that are not the database's: whichever
	// of the two is ahead, there is one backup for each due time, and it is the one by the
	// database's rules.
	for name, c := range map[string]struct{ zone, due string }{
		"the tick comes first":  {"America/Vancouver", "11:00"},
		"the tick comes second": {"Atlantic/Azores", "04:00"},
	} {
		t.Run("compiled by other rules, "+name, func(t *testing.T) {
			s := tdb.newScenario(t)
			s.change(installed, schedule("zone", c.zone))
			for _, day := range []string{"2", "3"} {
				for hour := range 24 {
					if hour == 6 {
						s.dispatch(fmt.Sprintf("%s %02d:00:01", day, hour))
					}
					for minute := 0; minute < 60; minute += 10 {
						s.watch(fmt.Sprintf("%s %02d:%02d:02", day, hour, minute))
						for _, run := range column[string](t, s.owner, `select run_id::text from auto_backup.runs where backup = $1 and state = 'requested'`, s.backup) {
							s.accept(run)
							s.succeed(run)
						}
					}
				}
			}
			got := strings.Join(column[string](t, s.owner, `
				select to_char(due_at at time zone 'UTC', 'DD HH24:MI ') || trigger from auto_backup.runs where backup = $1 order by requested_at`, s.backup), ", ")
			if want := fmt.Sprintf("02 %s catch_up, 03 %s catch_up", c.due, c.due); got != want {
				t.Errorf("the runs are %s, want %s", got, want)
			}
		})
	}

	t.Run("unknown", func(t *testing.T) {
		s := tdb.newScenario(t)
		for call, reason := range map[string]string{
			`select auto_backup.dispatch('nobody', 'daily')`:              `no backup "nobody" is installed`,
			`select auto_backup.watch('nobody')`:                          `no backup "nobody" is installed`,
			`select auto_backup.probe('nobody')`:                          `no backup "nobody" is installed`,
			`select auto_backup.dispatch('` + s.backup + `', 'weekly')`:   `has no schedule "weekly"`,
			`select auto_backup.token('nobody')`:                          `the vault secret "nobody/token" is missing`,
			`select auto_backup.start('nobody', 'x', 'manual', now(), 1)`: `no backup "nobody" is installed`,
		} {
			if _, err := s.owner.Exec(context.Background(), call); err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: got %v, want %q", call, err, reason)
			}
		}
	})

	t.Run("guarded and unreadable", func(t *testing.T) {
		s := tdb.newScenario(t)
		s.change(installed, func(document map[string]any) { guarded(document); schedule("zone", "Nowhere/Else")(document) })
		s.refuseDispatch("2 06:00", "Nowhere/Else")
	})
}

// testTwoAtOnce proves that neither two ticks of a job nor two watchdogs at the
// same time do anything twice.
func (tdb *testDatabase) testTwoAtOnce(t *testing.T) {
	const many = 6
	ctx := context.Background()
	together := func(s *scenario, sql string, at string) {
		var group sync.WaitGroup
		for range many {
			group.Go(func() {
				if _, err := s.owner.Exec(ctx, sql, s.backup, moment(t, at)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}

	s := tdb.newScenario(t)
	together(s, `select auto_backup.dispatch($1, 'daily', $2)`, "2 06:00")
	s.want("run 2 06:00 #1 schedule requested log:- alert:-", "unsent run #1")

	s.lose(s.latest())
	together(s, `select auto_backup.watch($1, $2)`, "2 06:10")
	together(s, `select auto_backup.watch($1, $2)`, "2 06:20")
	s.want(
		"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:pending",
		"run 2 06:00 #2 retry requested log:- alert:-",
		"incident failed 2 06:00 no_answer sent by watchdog calls:1",
		"system_logs auto_backup_error no_answer by watchdog alert:pending",
		"unsent alert",
		"unsent run #2 without alert",
	)

	// While one watchdog is at work, another one returns at once.
	err := pgx.BeginFunc(ctx, s.owner, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select auto_backup.watch($1, $2)`, s.backup, moment(t, "2 06:30")); err != nil {
			return err
		}
		if second := s.watch("2 06:30"); second["skipped"] == nil {
			t.Errorf("the second watchdog did %v", second)
		}
		if other := tdb.newScenario(t); other.watch("2 06:30")["skipped"] != nil {
			t.Error("the watchdog of another backup had to stand back")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testRequests proves what exactly is sent, and that neither an SQL text nor the
// run history contains a secret.
func (tdb *testDatabase) testRequests(t *testing.T) {
	s := tdb.newScenario(t)
	type request struct {
		URL     string
		Headers map[string]string
		Body    map[string]any
		Timeout int
		Text    string `json:"-"` // the body as it is sent
	}
	requests := func() []request {
		rows := query(t, s.admin, `
			select url, headers, convert_from(body, 'UTF8')::jsonb as body, timeout_milliseconds, convert_from(body, 'UTF8') from net.http_request_queue
			where convert_from(body, 'UTF8')::jsonb ->> 'backup' = $1 or convert_from(body, 'UTF8')::jsonb #>> '{details,backup}' = $1 order by id`, s.backup)
		sent, err := pgx.CollectRows(rows, pgx.RowToStructByPos[request])
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	check := func(got, want any) {
		t.Helper()
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		if string(g) != string(w) {
			t.Errorf("sent\n  %s\nwant\n  %s", g, w)
		}
	}
	functionURL := "http://127.0.0.1:9/functions/v1/auto-backup"

	run := s.dispatch("2 06:00:01")
	manual := s.start("2 06:01:00.25", true)
	one[int64](t, s.owner, `select (auto_backup.probe($1) ->> 'id')::bigint`, s.backup)
	one[int64](t, s.owner, `select (auto_backup.offsite_probe($1, 'r2') ->> 'id')::bigint`, s.backup)
	sent := requests()
	if len(sent) != 4 {
		t.Fatalf("%d requests, want 4", len(sent))
	}
	for _, r := range sent {
		at, err := time.Parse(time.RFC3339, fmt.Sprint(r.Body["sent_at"]))
		if age := time.Since(at); err != nil || age < 0 || age > time.Minute {
			t.Errorf("a request says that it was sent at %v: %v", r.Body["sent_at"], err)
		}
		delete(r.Body, "sent_at")
		if r.Headers["X-Backup-Signature"] != stack.Sign(token, r.Text) {
			t.Errorf("the signature of %s is %s", r.Text, r.Headers["X-Backup-Signature"])
		}
		delete(r.Headers, "X-Backup-Signature")
	}
	toFunction := map[string]string{"Content-Type": "application/json"}
	check(sent[0], request{URL: functionURL, Headers: toFunction, Body: map[string]any{
		"run_id": run, "backup": s.backup, "schedule": "daily", "due_at": "2026-03-02T06:00:00Z", "attempt": 1,
	}, Timeout: 10000})
	check(sent[1], request{URL: functionURL, Headers: toFunction, Body: map[string]any{
		"run_id": manual, "backup": s.backup, "schedule": "manual", "due_at": "2026-03-02T06:01:00.250000Z", "attempt": 1, "wait": true,
	}, Timeout: 150000})
	check(sent[2], request{URL: functionURL, Headers: toFunction, Body: map[string]any{
		"action": "probe", "run_id": sent[2].Body["run_id"], "backup": s.backup,
	}, Timeout: 30000})
	check(sent[3], request{URL: functionURL, Headers: toFunction, Body: map[string]any{
		"action": "offsite_probe", "run_id": sent[3].Body["run_id"], "backup": s.backup, "destination": "r2",
	}, Timeout: 60000})
	if runs := one[int](t, s.owner, `select count(*) from auto_backup.runs where backup = $1`, s.backup); runs != 2 {
		t.Errorf("%d runs, want 2: a probe is none", runs)
	}

	s.respond(run, reply{status: 404, headers: map[string]string{"sb-error-code": "NOT_FOUND"}})
	s.watch("2 06:02")
	alert := requests()[3]
	check(alert.Headers, map[string]string{"Content-Type": "application/json", "apikey": tdb.stack.AnonKey, "Authorization": "Bearer " + tdb.stack.AnonKey})
	check(alert.Body, map[string]any{
		"type": "critical", "source": "Falha no Backup Automático", "timestamp": "2026-03-02T06:02:00Z",
		"message": "O backup automático " + s.backup + " (agendamento daily, tentativa 1), previsto para 02/03/2026 às 03:00 (America/Sao_Paulo), falhou. " +
			"Motivo: a função não existe no projeto (HTTP 404, NOT_FOUND). Uma nova tentativa será feita automaticamente. " +
			"Se ela também falhar: execute terraform apply e depois um backup manual pelo painel.",
		"details": map[string]any{
			"incident": alert.Body["details"].(map[string]any)["incident"], "backup": s.backup, "schedule": "daily", "due_at": "2026-03-02T06:00:00Z",
			"run_id": run, "attempt": 1, "code": "http_404", "error": "a função não existe no projeto (HTTP 404, NOT_FOUND)", "reported_by": "watchdog",
		},
	})

	// A key that is no JWT is no bearer, a damaged one no header at all.
	for secret, want := range map[string]map[string]string{
		"sb_publishable_0123456789abcdef\n": {"Content-Type": "application/json", "apikey": "sb_publishable_0123456789abcdef"},
		"two\nlines":                        {"Content-Type": "application/json"},
	} {
		s.exec(t, s.owner, `select vault.update_secret(id, $2) from vault.secrets where name = $1 || '/alert-key'`, s.backup, secret)
		s.exec(t, s.owner, `select auto_backup.send_alert(incident_id, now()) from auto_backup.incidents where backup = $1`, s.backup)
		sent = requests()
		check(sent[len(sent)-1].Headers, want)
	}

	for _, place := range []string{
		`select count(*) from auto_backup.runs r where r::text like '%' || $1 || '%'`,
		`select count(*) from auto_backup.history h where h::text like '%' || $1 || '%'`,
		`select count(*) from public.system_logs l where l::text like '%' || $1 || '%'`,
		`select count(*) from pg_proc p where p.prosrc like '%' || $1 || '%'`,
		`select count(*) from net.http_request_queue q where q::text || convert_from(coalesce(q.body, ''), 'UTF8') like '%' || $1 || '%'`,
	} {
		if found := one[int](t, s.admin, place, token); found != 0 {
			t.Errorf("the token stands in %d rows of: %s", found, place)
		}
	}
}

// contract is what function/contract.json says to both sides.
type contract struct {
	LogTypes map[string]string `json:"log_types"`
	Prefixes map[string]string `json:"details_prefixes"`
	Suffixes map[string]string `json:"details_suffixes"`
	Refusals map[string]int    `json:"refusals"`
	States   map[string]any    `json:"alert_states"`
	Header   string            `json:"signature_header"`
	Version  string            `json:"version_header"`
	Fields   map[string]any    `json:"request_fields"`
}

func readContract(t *testing.T) contract {
	t.Helper()
	var c contract
	text, err := os.ReadFile("function/contract.json")
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testContract proves that the SQL uses the names that the Edge Function uses.
func (tdb *testDatabase) testContract(t *testing.T) {
	c := readContract(t)
	success, failure := "'"+c.LogTypes["success"]+"'", "'"+c.LogTypes["failure"]+"'"
	for function, words := range map[string][]string{
		"post":     {"'" + c.Header + "'"},
		"answer":   {"'" + strings.ToLower(c.Version) + "'"},
		"evidence": {success, failure},
		"report":   {failure},
		"judge": {
			success, failure, "'" + c.Prefixes["failed"] + "%", "'" + c.Prefixes["interrupted"] + "%",
			"%" + c.Suffixes["delivered"] + "' then 'delivered'", "%" + c.Suffixes["partly"] + "' then 'partly'",
		},
		"close":         {"'" + c.Prefixes["failed"] + "'", "'" + c.Prefixes["interrupted"] + "'"},
		"close_row":     {"'" + c.Prefixes["interrupted"] + "'", "'" + c.Prefixes["success"]},
		"close_again":   {"'" + c.Prefixes["started"] + "%"},
		"write_outside": {failure, "'" + c.Prefixes["started"] + "%"},
		"alerts":        {"'pending'", "'delivered'"},
	} {
		source := one[string](t, tdb.owner, `
			select prosrc from pg_proc where pronamespace = 'auto_backup'::regnamespace and proname = $1`, function)
		for _, word := range words {
			if !strings.Contains(source, word) {
				t.Errorf("auto_backup.%s does not use %s of contract.json", function, word)
			}
		}
	}
	for _, state := range []string{"pending", "delivered", "not_delivered", "off", "suppressed"} {
		if _, ok := c.States[state]; !ok || len(c.States) != 5 {
			t.Errorf("contract.json has the alert states %v; the watchdog knows five, %s among them", c.States, state)
		}
	}
	// What the function insists on, and refuses beyond, is what testRequests sees sent; the
	// export's number is what testExportLife sees, and the destination is the probe's.
	known := slices.Sorted(maps.Keys(c.Fields))
	if want := []string{"action", "alert", "attempt", "backup", "destination", "due_at", "export", "run_id", "schedule", "sent_at", "wait"}; !slices.Equal(known, want) {
		t.Errorf("contract.json has the request fields %v, the dispatcher sends %v", known, want)
	}
}

// testMissedTicks proves that a run that was made up for says why its job did
// not start it.
func (tdb *testDatabase) testMissedTicks(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		job  func(s *scenario)
		want string
	}{
		{"no job", func(*scenario) {}, "the job %s-daily does not exist"},
		{"job switched off", func(s *scenario) {
			s.exec(t, s.owner, `select cron.alter_job($1, active := false)`, s.schedule(s.owner))
		}, "the job %s-daily is not active"},
		{"job of another role", func(s *scenario) { s.schedule(s.admin) }, "the job %s-daily belongs to role supabase_admin"},
		{"tick failed", func(s *scenario) {
			s.exec(t, s.admin, `
				insert into cron.job_run_details (jobid, runid, username, status, return_message, start_time, end_time)
				values ($1, nextval('cron.runid_seq'), 'postgres', 'failed', E'ERROR:  auto_backup: the vault secret is missing\n', $2, $2)`,
				s.schedule(s.owner), moment(t, "2 06:00:01"))
		}, "its tick failed: ERROR: auto_backup: the vault secret is missing"},
		{"no tick", func(s *scenario) { s.schedule(s.owner) }, "the job did not tick at that time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tdb.newScenario(t)
			c.job(s)
			t.Cleanup(func() {
				_, err := s.admin.Exec(ctx, `delete from cron.job where jobname = $1`, s.backup+"-daily")
				if err != nil {
					t.Error(err)
				}
			})
			s.watch("2 06:10")
			want := c.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, s.backup)
			}
			if got := one[string](t, s.owner, `select tick from auto_backup.history where backup = $1`, s.backup); got != "started late by the watchdog: "+want {
				t.Errorf("the history says %q, want %q", got, want)
			}
		})
	}
}

// schedule makes the daily job as the role of a pool, at a time that does not come.
func (s *scenario) schedule(as *pgxpool.Pool) int64 {
	s.Helper()
	return one[int64](s.T, as, `select cron.schedule($1, '0 0 31 2 *', 'select 1')`, s.backup+"-daily")
}

// testHistory proves that a DBA can read from one view what happened to each run.
func (tdb *testDatabase) testHistory(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, alertSetting("overdue_after_seconds", 48*3600))
	run := s.dispatch("2 06:00")
	s.accept(run)
	s.succeed(run)
	s.watch("2 06:10")
	run = s.dispatch("3 06:00")
	s.respond(run, reply{status: 401, headers: ours(), body: `{"success":false,"code":"unauthorized"}`})
	s.watch("3 06:10")
	s.answerAlert(reply{status: 401, headers: map[string]string{"sb-error-code": "UNAUTHORIZED_LEGACY_JWT"}})
	s.watch("3 06:20")
	s.lose(s.latest())
	s.answerAlert(delivered())
	s.watch("3 06:30")
	run = s.dispatch("4 06:00")
	s.accept(run)
	s.succeed(run)
	s.watch("4 06:10")
	s.change("4 07:00", retrySetting("attempts", 0))
	s.respond(s.dispatch("5 06:00"), reply{status: 418})
	s.exec(t, s.admin, `alter table public.system_logs rename to system_logs_gone`)
	s.watch("5 06:10", "public.system_logs cannot be read", "public.system_logs cannot be written")
	s.exec(t, s.admin, `alter table public.system_logs_gone rename to system_logs`)
	run = s.dispatch("6 06:00")
	s.accept(run)
	s.fail(run, "rpc_http", `{"state": "pending"}`)
	s.watch("6 06:01")
	s.respond(s.start("6 06:02", false), unkeyed())
	s.exec(t, s.owner, `select auto_backup.collect($1, $2)`, s.backup, moment(t, "6 06:03"))
	got := column[string](t, s.owner, `
		select concat_ws(' | ', to_char(due_at at time zone 'UTC', 'DD HH24:MI'), '#' || attempt, regexp_replace(what_happened, 'at 20.*Z', 'at T'), what_to_do, 'recovered ' || recovered, tick,
			regexp_replace(request, '(id|refused) \d+', '\1 N', 'g'), http, function, log, log_state, alert)
		from auto_backup.history where backup = $1 order by due_at, attempt`, s.backup)
	said := func(code, error string) string {
		text := codes.Lookup(code, "")
		return text.Meaning + error + ". | " + text.Remedy
	}
	want := []string{
		"02 06:00 | #1 | The backup was made: 321 records. | started by its job | made, pg_net id N | HTTP 202 | succeeded | written by the function | function",
		"03 06:00 | #1 | " + said("unauthorized", " (HTTP 401, unauthorized)") + " | recovered true | started by its job | made, pg_net id N | HTTP 401 unauthorized | did not run | written by the watchdog | watchdog | delivered by the watchdog",
		"03 06:00 | #2 | " + said("no_answer", "") + " | recovered true | tried again by the watchdog | made, pg_net id N | no answer seen | did not run | written by the watchdog | watchdog | none: there is one about the first failure of this due time",
		"04 06:00 | #1 | The backup was made: 321 records. | started by its job | made, pg_net id N | HTTP 202 | succeeded | written by the function | function",
		"05 06:00 | #1 | " + said("http_418", " (HTTP 418)") + " | recovered false | started by its job | made, pg_net id N | HTTP 418 | did not run | could not be written | unwritten | NOT delivered: pg_net has not sent the request",
		"06 06:00 | #1 | " + said("rpc_http", " (motivo)") + " | recovered false | started by its job | made, pg_net id N | HTTP 202 | failed: rpc_http | written by the function | function | pending",
		"06 06:00 | " + said("overdue", ". The last success was at T") + " | recovered false | written by the watchdog | watchdog | pending",
		"06 06:02 | #1 | The request is made; there is no answer yet. | started manually | made, pg_net id N, after the gateway had refused N (HTTP 401) | no answer yet",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the history says\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// testPruning proves that the watchdog removes old rows of its own jobs and run
// history, once a day, a bounded number at a time, and no other rows.
func (tdb *testDatabase) testPruning(t *testing.T) {
	ctx := context.Background()
	s := tdb.newScenario(t)
	own := s.schedule(s.owner)
	watchdog := one[int64](t, s.owner, `select cron.schedule($1, '0 0 31 2 *', 'select 1')`, s.backup+"-watchdog")
	foreign := one[int64](t, s.owner, `select cron.schedule($1, '0 0 31 2 *', 'select 1')`, s.backup+"-secondary")
	others := s.schedule(s.admin)
	t.Cleanup(func() {
		if _, err := s.admin.Exec(ctx, `delete from cron.job where jobname like $1 || '-%'`, s.backup); err != nil {
			t.Error(err)
		}
	})
	details := func(job int64, user, age string, count int) {
		s.exec(t, s.admin, `
			insert into cron.job_run_details (jobid, runid, username, status, start_time, end_time)
			select $1, nextval('cron.runid_seq'), $2, 'succeeded', $3::timestamptz - $4::interval, $3::timestamptz - $4::interval
			from generate_series(1, $5)`, job, user, moment(t, "20 00:00"), age, count)
	}
	details(own, "postgres", "15 days", 700)
	details(watchdog, "postgres", "15 days", 700)
	details(own, "postgres", "12 days", 1)
	details(foreign, "postgres", "15 days", 1)
	details(others, "supabase_admin", "15 days", 1)
	left := func() string {
		return one[string](t, s.admin, `
			select string_agg(job || ' ' || n, ', ' order by job) from (
				select case d.jobid when $1 then 'own' when $2 then 'watchdog' when $3 then 'foreign' when $4 then 'others' end as job, count(*) as n
				from cron.job_run_details d where d.jobid in ($1, $2, $3, $4) group by 1) c`, own, watchdog, foreign, others)
	}
	s.exec(t, s.owner, `
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at)
		select $1, 'daily', 'schedule', at, 1, 'succeeded', at, at from unnest(array[$2::timestamptz - interval '401 days', $2::timestamptz - interval '1 hour']) as at`,
		s.backup, moment(t, "20 00:00"))
	s.exec(t, s.owner, `
		insert into auto_backup.incidents (backup, kind, due_at, code, opened_at, alert_state, recovered_at)
		select $1, 'overdue', at, 'overdue', at, 'delivered', at from unnest(array[$2::timestamptz - interval '401 days', $2::timestamptz - interval '1 day']) as at`,
		s.backup, moment(t, "20 00:00"))
	s.change("19 23:00", func(map[string]any) {})

	s.watch("20 00:00")
	if got := one[int](t, s.admin, `select count(*) from cron.job_run_details where jobid in ($1, $2)`, own, watchdog); got != 401 {
		t.Errorf("after one look %d rows of 1,401 are left, want 401: a batch is 1,000", got)
	}
	s.watch("20 00:10")
	if got, want := left(), "foreign 1, others 1, own 1"; got != want {
		t.Errorf("left in pg_cron's history: %s, want %s", got, want)
	}
	if runs, incidents := one[int](t, s.owner, `select count(*) from auto_backup.runs where backup = $1 and requested_at < $2`, s.backup, moment(t, "20 00:00")),
		one[int](t, s.owner, `select count(*) from auto_backup.incidents where backup = $1 and kind = 'overdue'`, s.backup); runs != 1 || incidents != 1 {
		t.Errorf("left in the history: %d runs and %d incidents, want 1 and 1", runs, incidents)
	}
	details(own, "postgres", "15 days", 1)
	s.watch("20 12:00")
	if got, want := left(), "foreign 1, others 1, own 2"; got != want {
		t.Errorf("the same day it looked again: %s, want %s", got, want)
	}
	s.watch("21 00:20")
	if got, want := left(), "foreign 1, others 1, own 1"; got != want {
		t.Errorf("the next day it did not look: %s, want %s", got, want)
	}
}

// testClosed proves that no role of the API can see or call anything, that the
// role of a plan can read the run history and compare the digests of secrets, and that it
// cannot read a secret or start anything.
func (tdb *testDatabase) testClosed(t *testing.T) {
	ctx := context.Background()
	s := tdb.newScenario(t)
	as := func(role, sql string) error {
		tx, err := s.admin.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(ctx) }()
		if _, err := tx.Exec(ctx, "set local role "+role); err != nil {
			t.Fatal(err)
		}
		_, err = tx.Exec(ctx, sql)
		return err
	}
	denied := func(err error) bool {
		var pgErr *pgconn.PgError
		return errors.As(err, &pgErr) && pgErr.Code == "42501"
	}
	calls := []string{
		`select * from auto_backup.settings`, `select * from auto_backup.runs`, `select * from auto_backup.history`, `select * from auto_backup.codes`,
		`insert into auto_backup.settings (backup, document, owner) values ('x', '{}', 'x')`,
		`select auto_backup.watch('` + s.backup + `')`, `select auto_backup.dispatch('` + s.backup + `', 'daily')`,
		`select auto_backup.token('` + s.backup + `')`, `select auto_backup.token_digest('` + s.backup + `')`, `select auto_backup.key_digest('` + s.backup + `')`, `select auto_backup.channel_digests('` + s.backup + `')`,
		`select * from auto_backup.notices`, `select auto_backup.notify('` + s.backup + `', now())`, `select auto_backup.notify_secret('` + s.backup + `/heartbeat')`,
		`select auto_backup.probe('` + s.backup + `')`, `select auto_backup.offsite_probe('` + s.backup + `', 'r2')`, `select auto_backup.plain('x')`, `select auto_backup.outcomes()`,
	}
	for _, role := range []string{"anon", "authenticated", "service_role", "authenticator"} {
		for _, call := range calls {
			if err := as(role, call); !denied(err) {
				t.Errorf("%s: %s: got %v, want it denied", role, call, err)
			}
		}
	}
	for _, call := range calls {
		err := as("supabase_read_only_user", call)
		if readable := strings.HasPrefix(call, "select * from") || strings.Contains(call, "_digest") || strings.Contains(call, "outcomes"); readable != (err == nil) {
			t.Errorf("supabase_read_only_user: %s: %v", call, err)
		}
	}
	open := column[string](t, s.admin, `
		select p.proname::text from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		where p.pronamespace = 'auto_backup'::regnamespace and a.grantee <> p.proowner order by 1`)
	if !slices.Equal(open, []string{"catalog", "channel_digests", "drift", "drill_restore", "is_probe_answer", "key_digest", "outcomes", "token_digest", "write_outside"}) {
		t.Errorf("functions open to somebody else: %v, want what a plan, the wait for a probe and the view history read, and what postgres calls of another role", open)
	}
	unpinned := column[string](t, s.admin, `
		select proname::text from pg_proc
		where pronamespace = 'auto_backup'::regnamespace and not coalesce(proconfig, '{}') @> array['search_path=""']`)
	if len(unpinned) > 0 {
		t.Errorf("functions without search_path = '': %v", unpinned)
	}
	want := one[string](t, s.admin, `select encode(sha256($1::text::bytea), 'hex')`, token)
	if got := one[string](t, s.owner, `select auto_backup.token_digest($1)`, s.backup); got != want {
		t.Errorf("token_digest is %s, want %s", got, want)
	}
	if got := one[*string](t, s.owner, `select auto_backup.token_digest('nobody')`); got != nil {
		t.Errorf("token_digest of nobody is %s, want null", *got)
	}
	// The secrets of others may look like a backup's.
	for function, suffix := range map[string]string{"token_digest": "/token", "key_digest": "/alert-key"} {
		foreign := s.backup + "-stripe"
		s.exec(t, s.owner, `select vault.create_secret('sk_live_x', $1, 'of the shop')`, foreign+suffix)
		if got := one[*string](t, s.owner, `select auto_backup.`+function+`($1)`, foreign); got != nil {
			t.Errorf("%s of a secret that belongs to no backup is %s, want null", function, *got)
		}
		// That of a backup is compared also when the settings are lost.
		s.exec(t, s.admin, `update vault.secrets set description = 'managed by terraform-provider-aimindset, backup ' || $1 where name = $1 || $2`, foreign, suffix)
		if got := one[*string](t, s.owner, `select auto_backup.`+function+`($1)`, foreign); got == nil {
			t.Errorf("%s of a secret with the ownership marker is null", function)
		}
		s.exec(t, s.owner, `delete from vault.secrets where name = $1`, foreign+suffix)
	}
	s.exec(t, s.owner, `select vault.create_secret('sb_publishable_x', $1 || '/alert-key') where not exists (select from vault.secrets where name = $1 || '/alert-key')`, s.backup)
	want = one[string](t, s.owner, `select encode(sha256(convert_to(decrypted_secret, 'UTF8')), 'hex') from vault.decrypted_secrets where name = $1 || '/alert-key'`, s.backup)
	if got := one[string](t, s.owner, `select auto_backup.key_digest($1)`, s.backup); got != want {
		t.Errorf("key_digest is %s, want %s", got, want)
	}
	s.exec(t, s.admin, `update vault.secrets set secret = encode('\x00', 'base64') where name = $1 || '/alert-key'`, s.backup)
	for _, name := range []string{s.backup, "nobody"} {
		if got := one[*string](t, s.owner, `select auto_backup.key_digest($1)`, name); got != nil {
			t.Errorf("key_digest of %s is %s, want null", name, *got)
		}
	}
}

// testBrokenLogs proves that the watchdog survives log tables that are missing
// or altered: the run is closed, people are told, and what could not be logged
// is logged when the table is back.
func (tdb *testDatabase) testBrokenLogs(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	run := s.dispatch("2 06:00")
	s.accept(run)
	s.exec(t, s.admin, `alter table public.system_logs rename to system_logs_gone; alter table public.backup_logs rename column success to gone`)
	restore := sync.OnceFunc(func() {
		s.exec(t, s.admin, `alter table public.system_logs_gone rename to system_logs; alter table public.backup_logs rename column gone to success`)
	})
	defer restore()
	s.watch("2 06:20", "public.backup_logs cannot be read", "public.system_logs cannot be read", "public.system_logs cannot be written")
	s.answerAlert(delivered())
	s.watch("2 06:30", "public.backup_logs cannot be read", "public.system_logs cannot be read", "public.system_logs cannot be written", "public.system_logs cannot be written")
	restore()
	s.watch("2 06:40")
	s.want(
		"run 2 06:00 #1 schedule failed log_unreadable log:watchdog alert:delivered",
		"incident failed 2 06:00 log_unreadable delivered by watchdog calls:1",
		"backup_logs iniciado false 0",
		"system_logs auto_backup_error log_unreadable by watchdog alert:delivered",
	)
	// It does not know how the run ended; the logs can still tell.
	s.succeed(run)
	s.watch("2 06:50")
	if got := one[string](t, s.owner, `select state from auto_backup.runs where run_id = $1::uuid`, run); got != "succeeded" {
		t.Errorf("the run is %s, want succeeded", got)
	}
}

// testBrokenNet proves that the watchdog survives without pg_net: it records
// what happened, and that nobody could be told.
func (tdb *testDatabase) testBrokenNet(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.dispatch("2 06:00")
	s.exec(t, s.admin, `alter schema net rename to net_gone`)
	restore := sync.OnceFunc(func() { s.exec(t, s.admin, `alter schema net_gone rename to net`) })
	defer restore()
	for _, at := range []string{"2 06:05", "2 06:15", "2 06:25", "2 06:35", "2 06:45"} {
		s.watch(at)
	}
	s.refuseDispatch("3 06:00", `schema "net" does not exist`)
	restore()
	s.want(
		"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:not_delivered",
		"incident failed 2 06:00 no_answer not_delivered by watchdog calls:3",
		"system_logs auto_backup_error no_answer by watchdog alert:not_delivered",
		"unsent run #1",
	)
}

// testCrash proves with a real crash that a request that PostgreSQL lost is
// found and tried again, although the ids of pg_net begin anew.
func (tdb *testDatabase) testCrash(t *testing.T) {
	s := tdb.newScenario(t)
	lost := s.dispatch("2 06:00")
	before := one[int64](t, s.owner, `select request_id from auto_backup.runs where run_id = $1::uuid`, lost)
	if err := tdb.stack.RestartPostgres(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	tdb.owner.Reset()
	tdb.admin.Reset()
	s.watch("2 06:10")
	s.watch("2 06:20")
	retry := s.latest()
	if after := one[int64](t, s.owner, `select request_id from auto_backup.runs where run_id = $1::uuid`, retry); after >= before {
		t.Errorf("the request ids went on from %d to %d: this is no crash", before, after)
	}
	s.want(
		"run 2 06:00 #1 schedule failed no_answer log:watchdog alert:pending",
		"run 2 06:00 #2 retry requested log:- alert:-",
		"incident failed 2 06:00 no_answer sent by watchdog calls:1",
		"system_logs auto_backup_error no_answer by watchdog alert:pending",
		"unsent alert",
		"unsent run #2 without alert",
	)
}

// leaseState is the answer of auto_backup.acquire.
type leaseState struct {
	Acquired bool    `json:"acquired"`
	Process  string  `json:"process"`
	Since    string  `json:"since"`
	Seconds  float64 `json:"seconds"`
}

func (tdb *testDatabase) acquire(t testing.TB, backup, holder string, term time.Duration) (got leaseState) {
	t.Helper()
	text := one[string](t, tdb.owner, `select auto_backup.acquire($1, $2, 'user of ' || $2, $3)::text`, backup, holder, term)
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// testLease proves that a backup has one holder at a time, and that others learn
// which process it is; that a lease that has expired can be acquired, and renewed
// when nobody has acquired it; and that a former holder cannot renew it.
func (tdb *testDatabase) testLease(t *testing.T) {
	const backup = "leased"
	renew := func(holder string) (code string) {
		_, err := tdb.owner.Exec(context.Background(), `select auto_backup.renew($1, $2)`, backup, holder)
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			code = refused.Code + " " + refused.Detail
		} else if err != nil {
			t.Fatal(err)
		}
		return code
	}
	expire := func() {
		tdb.exec(t, tdb.owner, `update auto_backup.leases set expires_at = clock_timestamp() where backup = $1`, backup)
	}
	if code := renew("a"); !strings.HasPrefix(code, "AB004 Nobody holds") {
		t.Errorf("a lease that nobody holds was renewed: %q", code)
	}
	first := tdb.acquire(t, backup, "a", time.Minute)
	if !first.Acquired || first.Process != "user of a" || first.Seconds < 30 || first.Seconds > 60 {
		t.Errorf("the first gets %+v", first)
	}
	if other := tdb.acquire(t, backup, "b", time.Minute); other.Acquired || other.Process != "user of a" || other.Since != first.Since {
		t.Errorf("the second gets %+v", other)
	}
	if again := tdb.acquire(t, backup, "a", time.Hour); !again.Acquired || again.Seconds < 3000 {
		t.Errorf("the holder gets %+v when it asks again", again)
	}
	expire()
	if code := renew("a"); code != "" {
		t.Errorf("an expired lease that nobody else acquired was not renewed: %s", code)
	}
	if other := tdb.acquire(t, backup, "b", time.Minute); other.Acquired {
		t.Error("the lease was not renewed for its term")
	}
	expire()
	if other := tdb.acquire(t, backup, "b", time.Minute); !other.Acquired || other.Process != "user of b" {
		t.Errorf("an expired lease cannot be acquired: %+v", other)
	}
	if code := renew("a"); !strings.HasPrefix(code, `AB004 "user of b" acquired it`) {
		t.Errorf("the former holder gets %q", code)
	}
}

// testUpgrade proves that an installation of a version that did not note the
// end of installations counts as finished after an upgrade, and one that was
// interrupted does not.
func (tdb *testDatabase) testUpgrade(t *testing.T) {
	s := tdb.newScenario(t)
	tdb.exec(t, tdb.owner, `alter table auto_backup.settings drop column completed_at`)
	tdb.install(t)
	if !one[bool](t, tdb.owner, `select completed_at is not null from auto_backup.settings where backup = $1`, s.backup) {
		t.Error("an old installation counts as unfinished")
	}
	young := tdb.newScenario(t)
	tdb.install(t)
	if one[bool](t, tdb.owner, `select completed_at is not null from auto_backup.settings where backup = $1`, young.backup) {
		t.Error("an interrupted installation counts as finished")
	}

	// A version that did not send refused requests again has left one.
	s = tdb.newScenario(t)
	s.respond(s.dispatch("2 06:00"), unkeyed())
	tdb.exec(t, tdb.owner, `
		alter table auto_backup.runs drop column refused_ids cascade;
		drop function auto_backup.call, auto_backup.call_again, auto_backup.post, auto_backup.probe;
		create function auto_backup.post(backup text, body jsonb, timeout_milliseconds integer) returns bigint language sql as 'select 1::bigint';
		create function auto_backup.probe(backup text) returns jsonb language sql as 'select null::jsonb'`)
	tdb.install(t)
	s.watch("2 06:10")
	s.want("run 2 06:00 #1 schedule requested log:- alert:-", "unsent run #1")
}

// testInstallAgainAndRemove proves that the script may run over an installation
// at work without losing a row or a grant, that it is not removed as long as a
// backup or an apply needs it, and that nothing is left in the database when it
// is removed.
func (tdb *testDatabase) testInstallAgainAndRemove(t *testing.T) {
	s := tdb.newScenario(t)
	s.lose(s.dispatch("2 06:00"))
	s.watch("2 06:10")
	image := func() string {
		return one[string](t, s.admin, `
			select md5(string_agg(line, E'\n' order by line)) from (
				select 'r ' || r from auto_backup.runs r union all select 'i ' || i from auto_backup.incidents i
				union all select 's ' || s from auto_backup.settings s union all select 'd ' || d from auto_backup.schedules d
				union all select 'w ' || w from auto_backup.watchdog w union all select 'h ' || h from auto_backup.history h
				union all select 't ' || t from auto_backup.codes t
				union all select 'p ' || case when p.proname in ('write_outside', 'drill_restore') then 0 else p.oid end || p.prosrc || coalesce(p.proacl::text, '') from pg_proc p where p.pronamespace = 'auto_backup'::regnamespace
				union all select 'c ' || c.oid || coalesce(c.relacl::text, '') from pg_class c where c.relnamespace = 'auto_backup'::regnamespace
			) lines (line)`)
	}
	before := image()
	tdb.install(t)
	if image() != before {
		t.Error("installing again changed something")
	}
	for name, digest := range payload.LoadDispatcher().Functions {
		if got := one[string](t, s.owner, `
			select encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') from pg_proc
			where pronamespace = 'auto_backup'::regnamespace and proname = $1`, name); got != digest {
			t.Errorf("%s in the database differs from its file", name)
		}
	}
	if got, want := one[int](t, s.owner, `select count(*) from pg_proc where pronamespace = 'auto_backup'::regnamespace`), len(payload.LoadDispatcher().Functions); got != want {
		t.Errorf("%d functions in the database, want %d", got, want)
	}

	remove := payload.LoadDispatcher().Remove
	for _, needed := range []struct{ by, end string }{
		{"a backup", "delete from auto_backup.settings"},
		{"an apply", "update auto_backup.leases set expires_at = now()"},
	} {
		if needed.by == "an apply" {
			tdb.acquire(t, "another", "somebody", time.Minute)
		}
		tdb.exec(t, tdb.owner, remove)
		if one[int](t, tdb.admin, `select count(*) from pg_namespace where nspname = 'auto_backup'`) != 1 {
			t.Fatalf("what %s needs is removed", needed.by)
		}
		tdb.exec(t, tdb.owner, needed.end)
	}
	tdb.exec(t, tdb.owner, remove)
	tdb.exec(t, tdb.owner, remove)
	left := one[int](t, tdb.admin, `
		select (select count(*) from pg_namespace where nspname = 'auto_backup')
			+ (select count(*) from pg_class c where c.relname ~ 'auto_backup')
			+ (select count(*) from pg_proc p where p.prosrc ~ 'auto_backup\.')
			+ (select count(*) from pg_type where typname ~ 'auto_backup')
			+ (select count(*) from pg_roles where rolname ~ 'auto_backup')
			+ (select count(*) from pg_policy where polname ~ 'auto_backup')
			+ (select count(*) from pg_default_acl d join pg_namespace n on n.oid = d.defaclnamespace where n.nspname = 'auto_backup')`)
	if left != 0 {
		t.Errorf("%d objects are left after the removal", left)
	}
	tdb.install(t)
}
