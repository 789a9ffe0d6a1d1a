package payload_test

// What is left of the case's runs.
const runStates = `select string_agg(concat_ws(' ', state, code, 'log:' || logged_by, 'alert:' || function_alert, 'end:' || to_char(finished_at at time zone 'UTC', 'FMDD HH24:MI')), ', ' order by due_at, attempt) from auto_backup.runs where backup = '$B'`

// What the rows of backup_logs of the case's runs say.
const ended = `select string_agg(concat_ws(' ', l.details, l.records_affected, l.success::text), ', ' order by r.due_at) from public.backup_logs l inner join auto_backup.runs r on r.run_id = l.id where r.backup = '$B'`

// runOf inserts a row of system_logs about the case's first run.
func runOf(event, context, at string) string {
	return `insert into public.system_logs (type, message, context, created_at) select '` + event + `', 'm', signer.signed('` + event + `', jsonb_build_object('run_id', run_id, 'backup', '$B') || '` + context + `'), ` + at + ` from auto_backup.runs where backup = '$B'`
}

// rowOf inserts the row of backup_logs of the case's first run.
func rowOf(success, details string) string {
	return `insert into public.backup_logs (id, action_type, records_affected, details, success) select run_id, 'auto_backup', 7, '` + details + `', ` + success + ` from auto_backup.runs where backup = '$B'`
}

// refusedRun inserts a run whose request the gateway refused a second later.
func refusedRun(values string) string {
	return `
		runs: ` + values + `
		update auto_backup.runs set request_id = -8500 - (substr('$B', 6)::bigint) where backup = '$B'
		insert into net._http_response (id, status_code, headers, content, created) values (-8500 - (substr('$B', 6)::bigint), 401, '{"sb-error-code":"UNAUTHORIZED_NO_AUTH_HEADER"}', '{"code":401}', '2 06:00:01Z')`
}

// calledAgain says of the case's run what is left of its refused requests, since when it
// counts as requested, what is known of its answer, and of the new request with which
// keys it was made, for which due time, and how often. It is signed now.
const calledAgain = `select concat_ws(' ', r.state, 'refused:' || cardinality(r.refused_ids), to_char(r.requested_at at time zone 'UTC', 'HH24:MI'),
	coalesce(r.http_status::text || r.http_error || r.answered_at, 'null'),
	(select string_agg(k, ',' order by k desc) from jsonb_object_keys(q.headers - 'Content-Type' - 'X-Backup-Signature') k),
	to_char((b.body ->> 'due_at')::timestamptz at time zone 'UTC', 'HH24:MI'), b.body ->> 'attempt')
	from auto_backup.runs r
	join net.http_request_queue q on q.id = r.request_id
	cross join lateral (select auto_backup.json(convert_from(q.body, 'UTF8')) as body) as b
	where r.backup = '$B' and b.body ->> 'run_id' = r.run_id::text
	and r.posted_at > now() - interval '1 minute' and (b.body ->> 'sent_at')::timestamptz > now() - interval '1 minute'`

var collectSteps = []step{
	{"nothing", "", `select auto_backup.collect('$B', '2 06:10Z')::text`, "{}", "", ""},
	{"without a time", `runs: {"requested_at":"1 06:00Z"}`, `select auto_backup.collect('$B')::text`, `{"failed": 1}`, "", ""},
	{"another backup's run", `runs: {"backup":"$B-other"}`, `select auto_backup.collect('$B', '2 06:10Z')::text`, "{}", "", ""},
	{
		"three that go on",
		`runs: {"requested_at":"2 06:09Z"}
		runs: {"due_at":"2 07:00Z","requested_at":"2 06:09Z"}
		runs: {"due_at":"2 08:00Z","requested_at":"2 06:09Z","state":"running"}`,
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"under_way": 3}`, runStates, "requested, requested, running",
	},
	{
		"two that failed",
		`runs: {}
		runs: {"due_at":"2 07:00Z"}`,
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"failed": 2}`, runStates, "failed no_answer log:watchdog end:2 06:10, failed no_answer log:watchdog end:2 06:10",
	},
	{
		"two that succeeded",
		`runs: {}
		` + rowOf("true", "x") + `
		runs: {"due_at":"2 07:00Z"}
		insert into public.backup_logs (id, action_type, records_affected, details, success) select run_id, 'auto_backup', 7, 'x', true from auto_backup.runs where backup = '$B' and due_at = '2 07:00Z'
		` + runOf("auto_backup", `{"total_records":7}`, "'2 06:00:30Z'"),
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"succeeded": 2}`, runStates, "succeeded log:function end:2 06:00, succeeded log:function end:2 06:00",
	},
	{
		// The end of a run that was given up is when that was noticed: no
		// earlier time is known.
		"given up, and a success after all",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"no_answer","logged_by":"watchdog"}
		` + rowOf("true", "x") + `
		` + runOf("auto_backup", `{"backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11"}`, "'2 06:01Z'"),
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{"succeeded": 1}`, runStates, "succeeded log:function end:2 06:30",
	},
	{
		// The function reported an interruption, and made the backup all the same.
		// The incident was opened in between, and only a later success ends it.
		"given up after the function's report, and a success after all",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"interrupted","logged_by":"function","function_alert":"pending"}
		` + rowOf("true", "x") + `
		` + runOf("auto_backup", `{"backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11"}`, "'2 06:01Z'"),
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{"succeeded": 1}`, runStates, "succeeded log:function alert:pending end:2 06:30",
	},
	{
		"two of these",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"no_answer","logged_by":"watchdog"}
		` + rowOf("true", "x") + `
		runs: {"due_at":"2 07:00Z","state":"failed","finished_at":"2 06:05Z","code":"no_answer","logged_by":"watchdog"}
		insert into public.backup_logs (id, action_type, records_affected, details, success) select run_id, 'auto_backup', 7, 'x', true from auto_backup.runs where backup = '$B' and due_at = '2 07:00Z'
		` + runOf("auto_backup", `{"total_records":7}`, "'2 06:00:30Z'"),
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{"succeeded": 2}`, "", "",
	},
	{
		"given up for almost a day, and a success",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"no_answer","logged_by":"watchdog"}
		` + rowOf("true", "x") + "\n" + runOf("auto_backup", `{"total_records":7}`, "'2 06:00:30Z'"),
		`select auto_backup.collect('$B', '3 06:04:59Z')::text`, `{"succeeded": 1}`, "", "",
	},
	{
		"given up for a day, and a success",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"no_answer","logged_by":"watchdog"}
		` + rowOf("true", "x") + "\n" + runOf("auto_backup", `{"total_records":7}`, "'2 06:00:30Z'"),
		`select auto_backup.collect('$B', '3 06:05Z')::text`, `{}`, runStates, "failed no_answer log:watchdog end:2 06:05",
	},
	{
		"succeeded long since",
		`runs: {"state":"succeeded","finished_at":"2 06:05Z"}
		` + rowOf("true", "x"),
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{}`, runStates, "succeeded end:2 06:05",
	},
	{
		"given up without a log, and the function's word comes later",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"no_answer"}
		` + runOf("auto_backup_error", `{"code":"internal","alert":{"state":"delivered"}}`, "'2 06:06Z'"),
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{}`, runStates, "failed no_answer log:function alert:delivered end:2 06:05",
	},
	{
		"the function's word has changed, on one run of two",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"internal","logged_by":"function","function_alert":"pending"}
		` + runOf("auto_backup_error", `{"code":"internal","alert":{"state":"delivered"}}`, "'2 06:06Z'") + `
		runs: {"due_at":"2 07:00Z","state":"failed","finished_at":"2 06:05Z","code":"internal","logged_by":"watchdog","function_alert":"not_delivered"}`,
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{}`, runStates,
		"failed internal log:function alert:delivered end:2 06:05, failed internal log:watchdog alert:not_delivered end:2 06:05",
	},
	{
		"the function's word that its alert was delivered is final",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"internal","logged_by":"function","function_alert":"delivered"}
		` + runOf("auto_backup_error", `{"code":"internal","alert":{"state":"pending"}}`, "'2 06:06Z'"),
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{}`, runStates, "failed internal log:function alert:delivered end:2 06:05",
	},
	{
		"given up without a log, which can be written now",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"no_answer"}`,
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{}`, runStates, "failed no_answer log:watchdog end:2 06:05",
	},
	{
		"refused by the gateway, and called again with a key",
		key(`'sb_publishable_1'`) + refusedRun("{}"),
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"under_way": 1}`, calledAgain, "requested refused:1 06:10 null apikey 06:00 1",
	},
	{
		"refused by the gateway with the key",
		bothKeys + refusedRun(`{"refused_ids":[1]}`),
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"under_way": 1}`, calledAgain, "requested refused:2 06:10 null apikey,Authorization 06:00 1",
	},
	{
		"refused by the gateway in each way",
		bothKeys + refusedRun(`{"refused_ids":[1,2]}`),
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"failed": 1}`, runStates, "failed http_401 log:watchdog end:2 06:00",
	},
	{
		"refused with the key that a runtime wants, and called again the other way",
		bothKeys + "\n" + sendKey + refusedRun("{}"),
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"under_way": 1}`, calledAgain, "requested refused:1 06:10 null apikey,Authorization 06:00 1",
	},
	{
		"refused with the key that a runtime wants, and there is no other",
		key(`'sb_publishable_1'`) + "\n" + sendKey + refusedRun("{}"),
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"failed": 1}`, runStates, "failed http_401 log:watchdog end:2 06:00",
	},
	{
		"refused, and the vault has no key",
		`delete from vault.secrets where name = '$B/alert-key'` + refusedRun("{}"),
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"failed": 1}`, runStates, "failed http_401 log:watchdog end:2 06:00",
	},
	{
		"refused, and no request can be signed",
		`delete from vault.secrets where name = '$B/token'` + refusedRun("{}"),
		`select regexp_replace(auto_backup.collect('$B', '2 06:10Z')::text, 'run [-0-9a-f]+', 'run X')`,
		`{"failed": 1, "problems": ["run X cannot be requested again: auto_backup: the vault secret \"$B/token\" is missing, so no backup can be started"]}`,
		runStates, "failed http_401 log:watchdog end:2 06:00",
	},
	{
		"refused by a function of the user's own",
		refusedRun("{}") + `
		update net._http_response set headers = '{}', content = '{"success":false,"code":"unauthorized"}' where id = -8500 - (substr('$B', 6)::bigint)`,
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"failed": 1}`, runStates, "failed http_401 log:watchdog end:2 06:00",
	},
	{
		"refused as too late by a function of the user's own",
		refusedRun("{}") + `
		update net._http_response set headers = '{}', content = '{"success":false,"code":"request_expired"}' where id = -8500 - (substr('$B', 6)::bigint)`,
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"failed": 1}`, runStates, "failed http_401 log:watchdog end:2 06:00",
	},
	{
		"refused, but the run was claimed",
		refusedRun("{}") + "\n" + rowOf("false", "Backup automático iniciado"),
		`select auto_backup.collect('$B', '2 06:05Z')::text`, `{"under_way": 1}`, runStates, "running",
	},
	{
		"refused, and a newer run of the schedule was requested at that moment",
		refusedRun("{}") + `
		runs: {"due_at":"2 06:10Z","requested_at":"2 06:10Z","posted_at":"2 06:10Z"}`,
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"failed": 1, "under_way": 1}`, runStates, "failed http_401 log:watchdog end:2 06:00, requested",
	},
	{
		"refused, and a clock that was wrong has left a newer run",
		refusedRun("{}") + `
		runs: {"due_at":"2 06:11Z","requested_at":"2 06:11Z","state":"succeeded","finished_at":"2 06:12Z"}`,
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"under_way": 1}`, runStates, "requested, succeeded end:2 06:12",
	},
	{
		"refused, and a newer run of another schedule is in progress",
		refusedRun("{}") + `
		runs: {"schedule":"weekly","requested_at":"2 06:01Z"}`,
		`select auto_backup.collect('$B', '2 06:02Z')::text`, `{"under_way": 2}`, runStates, "requested, requested",
	},
	{
		"refused, and a newer run of another schedule has made the backup",
		refusedRun("{}") + `
		runs: {"due_at":"2 07:00Z","schedule":"weekly","requested_at":"2 06:01Z","state":"succeeded","finished_at":"2 06:02Z"}`,
		`select auto_backup.collect('$B', '2 06:10Z')::text`, `{"failed": 1}`, runStates, "failed http_401 log:watchdog end:2 06:00, succeeded end:2 06:02",
	},
	{
		"an event from ten seconds before the first request",
		`runs: {}
		` + runOf("auto_backup_error", `{"code":"internal"}`, "'2 05:59:50Z'"),
		`select auto_backup.collect('$B', '2 06:01Z')::text`, `{"failed": 1}`, runStates, "failed internal log:function end:2 06:00",
	},
	{
		"an event from before that",
		`runs: {}
		` + runOf("auto_backup_error", `{"code":"internal"}`, "'2 05:59:49Z'"),
		`select auto_backup.collect('$B', '2 06:01Z')::text`, `{"under_way": 1}`, runStates, "requested",
	},
	{
		"an event of the older of two runs",
		`runs: {}
		` + runOf("auto_backup_error", `{"code":"internal"}`, "'2 06:00:30Z'") + `
		runs: {"due_at":"2 07:00Z","requested_at":"2 07:00Z","posted_at":"2 07:00Z"}`,
		`select auto_backup.collect('$B', '2 07:01Z')::text`, `{"failed": 1, "under_way": 1}`, runStates, "failed internal log:function end:2 06:00, requested",
	},
	{
		"a row that could not be written when the run was given up",
		`runs: {"state":"failed","finished_at":"2 06:20Z","code":"interrupted","logged_by":"watchdog","row_open":true}
		` + rowOf("false", "Backup automático iniciado em 02/03/2026"),
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{}`, ended, "Backup automático interrompido: a execução começou e não terminou 0 false",
	},
	{
		"a row that could not be written when the run had succeeded",
		`runs: {"state":"succeeded","finished_at":"2 06:20Z","backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","records":12,"logged_by":"function","row_open":true}
		` + rowOf("false", "Backup automático iniciado em 02/03/2026"),
		`select auto_backup.collect('$B', '3 06:19Z')::text`, `{}`, ended, "Backup automático ID: 5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11 - Total: 12 registros 12 true",
	},
	{
		"rows that could not be written a day ago, and of a run that a wrong clock ended",
		`runs: {"state":"failed","finished_at":"2 06:20Z","code":"interrupted","logged_by":"watchdog","row_open":true}
		runs: {"due_at":"3 06:00Z","state":"failed","finished_at":"3 06:21Z","code":"interrupted","logged_by":"watchdog","row_open":true}
		` + rowOf("false", "Backup automático iniciado em 02/03/2026"),
		`select auto_backup.collect('$B', '3 06:20Z')::text`, `{}`, ended, "Backup automático iniciado em 02/03/2026 7 false, Backup automático iniciado em 02/03/2026 7 false",
	},
	{
		"a row of a run of which nobody knows whether it ended, and one that says so itself",
		`runs: {"state":"failed","finished_at":"2 06:20Z","code":"log_unreadable","logged_by":"watchdog","row_open":true}
		` + rowOf("false", "Backup automático iniciado em 02/03/2026") + `
		runs: {"due_at":"3 06:00Z","state":"failed","finished_at":"2 06:20Z","code":"interrupted","logged_by":"watchdog","row_open":true}
		insert into public.backup_logs (id, action_type, details, success, records_affected) select run_id, 'auto_backup', 'Backup automático falhou: x', false, 7 from auto_backup.runs where backup = '$B' and code = 'interrupted'`,
		`select auto_backup.collect('$B', '2 06:30Z')::text`, `{}`, ended, "Backup automático iniciado em 02/03/2026 7 false, Backup automático falhou: x 7 false",
	},
	{
		"an answer is noted while the run goes on",
		`runs: {"request_id":-1}
		update auto_backup.runs set request_id = -8000 - (substr('$B', 6)::bigint) where backup = '$B'
		` + rowOf("false", "Backup automático iniciado") + `
		insert into net._http_response (id, status_code, created) values (-8000 - (substr('$B', 6)::bigint), 202, '2 06:00:01Z')`,
		`select auto_backup.collect('$B', '2 06:05Z')::text`, `{"under_way": 1}`,
		`select concat_ws(' ', state, http_status, to_char(answered_at at time zone 'UTC', 'HH24:MI:SS')) from auto_backup.runs where backup = '$B'`, "running 202 06:00:01",
	},
	{
		"an answer to a run that is running already is noted, too",
		`runs: {"state":"running"}
		update auto_backup.runs set request_id = -8100 - (substr('$B', 6)::bigint) where backup = '$B'
		insert into net._http_response (id, status_code, content, created) select request_id, 202, jsonb_build_object('run_id', run_id), '2 06:00:01Z' from auto_backup.runs where backup = '$B'`,
		`select auto_backup.collect('$B', '2 06:05Z')::text`, `{"under_way": 1}`,
		`select concat_ws(' ', state, http_status, to_char(answered_at at time zone 'UTC', 'HH24:MI:SS')) from auto_backup.runs where backup = '$B'`, "running 202 06:00:01",
	},
	{
		"an answer that was noted is not written again",
		`runs: {"state":"running","answered_at":"2 06:00:01Z","http_status":202}
		update auto_backup.runs set request_id = -8200 - (substr('$B', 6)::bigint) where backup = '$B'
		insert into net._http_response (id, status_code, content, created) select request_id, 202, jsonb_build_object('run_id', run_id), '2 06:00:05Z' from auto_backup.runs where backup = '$B'`,
		`select auto_backup.collect('$B', '2 06:05Z')::text`, `{"under_way": 1}`,
		`select concat_ws(' ', state, http_status, to_char(answered_at at time zone 'UTC', 'HH24:MI:SS')) from auto_backup.runs where backup = '$B'`, "running 202 06:00:01",
	},
	{
		"an answer to a run that was given up is not looked at",
		`runs: {"state":"failed","finished_at":"2 06:05Z","code":"no_answer","logged_by":"watchdog"}
		update auto_backup.runs set request_id = -8300 - (substr('$B', 6)::bigint) where backup = '$B'
		insert into net._http_response (id, status_code, content, created) select request_id, 200, signer.signed('auto_backup', jsonb_build_object('run_id', run_id, 'success', true)), '2 06:00:05Z' from auto_backup.runs where backup = '$B'`,
		`select auto_backup.collect('$B', '2 06:15Z')::text`, `{}`, runStates, "failed no_answer log:watchdog end:2 06:05",
	},
	{
		"a run that cannot be closed does not keep the others open",
		`runs: {}
		runs: {"due_at":"2 07:00Z"}
		update auto_backup.runs set request_id = -8400 - (substr('$B', 6)::bigint) where backup = '$B' and due_at = '2 06:00Z'
		insert into net._http_response (id, status_code, content, created) select request_id, 200, signer.signed('auto_backup', jsonb_build_object('run_id', run_id, 'success', true, 'total_records', 999999999999999999)), '2 06:00:05Z' from auto_backup.runs where backup = '$B' and due_at = '2 06:00Z'
		alter table auto_backup.runs add constraint refused check (backup <> '$B' or records is null)
		finally: alter table auto_backup.runs drop constraint refused`,
		`select regexp_replace(auto_backup.collect('$B', '2 06:10Z')::text, 'run [-0-9a-f]+', 'run X')`,
		`{"failed": 1, "problems": ["run X: new row for relation \"runs\" violates check constraint \"refused\""]}`,
		`select string_agg(state, ', ' order by due_at) from auto_backup.runs where backup = '$B'`, "requested, failed",
	},
}

// The case's overdue incidents, with when each became overdue.
const overdueState = `select string_agg(concat_ws(' ', to_char(due_at at time zone 'UTC', 'FMDD HH24:MI'), alert_state, logged, case when recovered_at is not null then 'over' end), ', ' order by due_at) from auto_backup.incidents where backup = '$B' and kind = 'overdue'`

// after lets the case's backup be overdue one hour after its last success.
const afterAnHour = `update auto_backup.settings set document = jsonb_set(document, '{alert,overdue_after_seconds}', '3600') where backup = '$B'
	`

const (
	overdueAt     = `select (auto_backup.overdue('$B', '`
	overdueNumber = `') - 'incident_id')::text`
)

var overdueSteps = []step{
	{"never, if the settings do not say when", `update auto_backup.settings set document = document #- '{alert,overdue_after_seconds}' where backup = '$B'
		schedules: {}`, overdueAt + `9 06:00Z` + overdueNumber, "{}", overdueState, "null"},
	{"never, if all schedules are off", afterAnHour, overdueAt + `9 06:00Z` + overdueNumber, "{}", overdueState, "null"},
	{"at the limit", afterAnHour + `schedules: {}`, overdueAt + `1 13:00Z` + overdueNumber, "{}", overdueState, "null"},
	{"past the limit, since the installation", afterAnHour + `schedules: {"since":"1 11:00Z"}`, overdueAt + `1 13:00:01Z` + overdueNumber, "{}", overdueState, "1 13:00 waiting t"},
	{"past the limit, since the first schedule", afterAnHour + "schedules: {\"since\":\"1 13:00Z\"}\n\t\tschedules: {\"schedule\":\"weekly\",\"since\":\"1 15:00Z\"}", overdueAt + `1 14:00:01Z` + overdueNumber, "{}", overdueState, "1 14:00 waiting t"},
	{"another backup's schedule", afterAnHour + `insert into auto_backup.settings (backup, document, owner) values ('$B-other', '{}', 'test')
		schedules: {"backup":"$B-other"}`, overdueAt + `9 06:00Z` + overdueNumber, "{}", overdueState, "null"},
	{
		"since the last success of two", afterAnHour + `schedules: {}
		runs: {"state":"succeeded","finished_at":"2 06:10Z"}
		runs: {"due_at":"3 06:00Z","state":"succeeded","finished_at":"3 06:10Z"}
		runs: {"due_at":"3 07:00Z","state":"failed","finished_at":"3 07:10Z","code":"internal"}
		runs: {"backup":"$B-other","state":"succeeded","finished_at":"3 08:00Z"}`,
		overdueAt + `3 07:10:01Z` + overdueNumber, "{}", overdueState, "3 07:10 waiting t",
	},
	{
		"alerts are off", afterAnHour + `update auto_backup.settings set document = jsonb_set(document, '{alert,enabled}', 'false') where backup = '$B'
		schedules: {}`, overdueAt + `1 13:01Z` + overdueNumber, "{}", overdueState, "1 13:00 off t",
	},
	{
		"no switch for alerts", afterAnHour + `update auto_backup.settings set document = document #- '{alert,enabled}' where backup = '$B'
		schedules: {}`, overdueAt + `1 13:01Z` + overdueNumber, "{}", overdueState, "1 13:00 off t",
	},
	{
		"known already", afterAnHour + `schedules: {}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue","due_at":"1 13:00Z","opened_at":"1 13:01Z","logged":true}`,
		overdueAt + `1 14:00Z` + overdueNumber, "{}", overdueState, "1 13:00 waiting t",
	},
	{
		"known, but not logged", afterAnHour + `schedules: {}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue","due_at":"1 12:30Z","opened_at":"1 13:01Z"}`,
		overdueAt + `1 14:00Z` + overdueNumber, "{}", overdueState, "1 12:30 waiting t",
	},
	{
		"known from before the last success", afterAnHour + `schedules: {}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue","due_at":"1 13:00Z","opened_at":"2 06:10Z","logged":true}
		runs: {"state":"succeeded","finished_at":"2 06:10Z"}`,
		overdueAt + `2 07:11Z` + overdueNumber, "{}", overdueState, "1 13:00 waiting t, 2 07:10 waiting t",
	},
	{
		"known, and over", afterAnHour + `schedules: {}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue","due_at":"1 12:30Z","opened_at":"1 13:01Z","logged":true,"recovered_at":"1 13:02Z"}`,
		overdueAt + `1 14:00Z` + overdueNumber, "{}", overdueState, "1 12:30 waiting t over, 1 13:00 waiting t",
	},
	{
		"a failed incident is another one", afterAnHour + `schedules: {}
		incidents: {"opened_at":"1 13:01Z"}`,
		overdueAt + `1 14:00Z` + overdueNumber, "{}", overdueState, "1 13:00 waiting t",
	},
	{
		"another backup's", afterAnHour + `schedules: {}
		insert into auto_backup.settings (backup, document, owner) values ('$B-other', '{}', 'test')
		incidents: {"backup":"$B-other","kind":"overdue","schedule":null,"run_id":null,"code":"overdue","opened_at":"1 13:01Z","logged":true}`,
		overdueAt + `1 14:00Z` + overdueNumber, "{}", overdueState, "1 13:00 waiting t",
	},
	{
		"what the log says", afterAnHour + `schedules: {}
		runs: {"state":"succeeded","finished_at":"2 06:10Z"}`,
		overdueAt + `2 08:00Z` + overdueNumber, "{}",
		`select concat_ws(' | ', l.message, (l.context - 'incident_id' - 'error')::text) from public.system_logs l where l.context ->> 'backup' = '$B'`,
		`Backup automático atrasado: o último backup com sucesso terminou em 02/03/2026 às 03:10 (America/Sao_Paulo) | {"code": "overdue", "alert": {"state": "pending"}, "backup": "$B", "failed_at": "2026-03-02T08:00:00Z", "reported_by": "watchdog", "overdue_since": "2026-03-02T07:10:00Z", "last_success_at": "2026-03-02T06:10:00Z"}`,
	},
}

// missed is what catch_up starts: the schedule and the due time.
const (
	missedAt = `select coalesce((select concat_ws(' ', c ->> 'schedule', c ->> 'due_at', c -> 'problems') from auto_backup.catch_up('$B', '`
	missed   = `') c), '')`
	sinces   = `select string_agg(schedule || ' ' || to_char(since at time zone 'UTC', 'FMDD HH24:MI'), ', ' order by schedule) from auto_backup.schedules where backup = '$B'`
)

// meant writes the daily schedule's definition down as the watchdog does.
const meant = `insert into auto_backup.schedules (backup, schedule, definition, since) select backup, 'daily', (document #> '{schedules,daily}') - array['cron', 'timezone', 'enabled', 'utc', 'guarded'], '1 12:00Z' from auto_backup.settings where backup = '$B'
	`

// yearly makes the daily schedule due on one day in a year.
func yearly(month, day string) string {
	return `update auto_backup.settings set document = jsonb_set(jsonb_set(document, '{schedules,daily,months}', '[` + month + `]'), '{schedules,daily,days}', '[` + day + `]'), created_at = '2024-01-01', updated_at = '2024-01-01' where backup = '$B'
	insert into auto_backup.schedules (backup, schedule, definition, since) select backup, 'daily', (document #> '{schedules,daily}') - array['cron', 'timezone', 'enabled', 'utc', 'guarded'], '2024-01-01Z' from auto_backup.settings where backup = '$B'`
}

var catchUpSteps = []step{
	{"nothing was due", meant, missedAt + "2 06:04:59Z" + missed, "", sinces, "daily 1 12:00"},
	{"due five minutes ago", meant, missedAt + "2 06:05Z" + missed, "daily 2026-03-02T06:00:00Z", sinces, "daily 1 12:00"},
	{"last month", yearly("2", "20"), missedAt + "20 06:00Z" + missed, "daily 2026-02-20T06:00:00Z", "", ""},
	{"last year", yearly("3", "1") + "\nupdate auto_backup.settings set updated_at = updated_at where backup = '$B'", `select coalesce((select concat_ws(' ', c ->> 'schedule', c ->> 'due_at', c -> 'problems') from auto_backup.catch_up('$B', '2026-02-20T06:00:00Z') c), '')`, "daily 2025-03-01T06:00:00Z", "", ""},
	{"longer ago than a year", yearly("1", "1"), `select coalesce((select concat_ws(' ', c ->> 'schedule', c ->> 'due_at', c -> 'problems') from auto_backup.catch_up('$B', '2026-01-01T06:00:00Z') c), '')`, "daily 2025-01-01T06:00:00Z", "", ""},
	{"has its run", meant + `runs: {` + failed + `}`, missedAt + "2 06:10Z" + missed, "", "", ""},
	{"has a later run", meant + `runs: {"due_at":"2 06:01Z",` + failed + `}`, missedAt + "2 06:10Z" + missed, "", "", ""},
	{"has an earlier run", meant + `runs: {"due_at":"2 05:59Z",` + failed + `}`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", "", ""},
	{"another schedule has a run", meant + `runs: {"schedule":"weekly",` + failed + `}`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", "", ""},
	{"another backup has a run", meant + `runs: {"backup":"$B-other",` + failed + `}`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", "", ""},
	{"a manual run failed", meant + `runs: {"trigger":"manual","due_at":"2 06:02Z",` + failed + `}`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", "", ""},
	{"a manual run succeeded", meant + `runs: {"trigger":"manual","due_at":"2 06:02Z","state":"succeeded","finished_at":"2 06:05Z"}`, missedAt + "2 06:10Z" + missed, "", "", ""},
	{"made up for by another schedule's run", meant + `runs: {"schedule":"weekly","trigger":"catch_up","due_at":"2 05:00Z","requested_at":"2 06:01Z",` + failed + `}`, missedAt + "2 06:10Z" + missed, "", "", ""},
	{"another schedule was made up for at that moment", meant + `runs: {"schedule":"weekly","trigger":"catch_up","due_at":"2 05:00Z","requested_at":"2 06:00Z",` + failed + `}`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", "", ""},
	{"another backup was made up for", meant + `runs: {"backup":"$B-other","trigger":"catch_up","requested_at":"2 06:01Z",` + failed + `}`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", "", ""},
	{"another run is requested", meant + `runs: {"schedule":"manual","trigger":"manual","due_at":"2 06:09Z"}`, missedAt + "2 06:10Z" + missed, "", "", ""},
	{"another backup's run is running", meant + `runs: {"backup":"$B-other","state":"running"}`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", "", ""},
	{"a later of two schedules", meant + `update auto_backup.settings set document = jsonb_set(document, '{schedules,early}', jsonb_set(document #> '{schedules,daily}', '{hours}', '[2]')) where backup = '$B'`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", "", ""},
	{"a new schedule counts from its settings", "", missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", sinces, "daily 1 12:00"},
	{"a changed schedule counts from its settings", `schedules: {"since":"1 11:00Z"}`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", sinces, "daily 1 12:00"},
	{"a schedule that was changed outside the settings counts from now", `schedules: {"since":"1 12:00Z"}`, missedAt + "2 06:10Z" + missed, "", sinces, "daily 2 06:10"},
	{"a schedule without a switch is on", meant + `update auto_backup.settings set document = document #- '{schedules,daily,enabled}' where backup = '$B'`, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", sinces, "daily 1 12:00"},
	{
		"a schedule that is off is forgotten, and no other one", meant + `update auto_backup.settings set document = jsonb_set(jsonb_set(document, '{schedules,weekly}', document #> '{schedules,daily}'), '{schedules,daily,enabled}', 'false') where backup = '$B'
		insert into auto_backup.settings (backup, document, owner) values ('$B-other', '{}', 'test')
		schedules: {"backup":"$B-other"}`,
		missedAt + "2 06:04Z" + missed, "", `select string_agg(backup || ' ' || schedule, ', ' order by backup collate "C") from auto_backup.schedules where backup in ('$B', '$B-other')`, "$B weekly, $B-other daily",
	},
	{"a schedule that is gone is forgotten", meant + `schedules: {"schedule":"gone"}`, missedAt + "2 06:04Z" + missed, "", sinces, "daily 1 12:00"},
	{
		"a schedule that cannot be read", meant + `update auto_backup.settings set document = jsonb_set(document, '{schedules,weekly}', '{"zone":"UTC"}') where backup = '$B'`,
		`select c ->> 'due_at' || ' ' || (c -> 'problems' ->> 0 like 'schedule weekly cannot be read: auto_backup: incomplete schedule%') from auto_backup.catch_up('$B', '2 06:10Z') c`,
		"2026-03-02T06:00:00Z true", "", "",
	},
	{
		"a schedule that cannot be read does not count for the one before it", meant + `update auto_backup.settings set document = jsonb_set(document, '{schedules,weekly}', '{"zone":"UTC"}') where backup = '$B'`,
		`select (auto_backup.catch_up('$B', '2 06:10Z') ->> 'schedule')`, "daily", "", "",
	},
	{"why the job did not start it", meant, missedAt + "2 06:10Z" + missed, "daily 2026-03-02T06:00:00Z", `select tick from auto_backup.runs where backup = '$B'`, "the job $B-daily does not exist"},
}

var historySteps = []step{
	{
		"the first success after an incident ends it", `incidents: {}
		runs: {"state":"succeeded","finished_at":"2 06:09:59Z"}
		runs: {"due_at":"3 06:00Z","state":"succeeded","finished_at":"3 06:10Z"}
		runs: {"due_at":"2 07:00Z","state":"succeeded","finished_at":"2 07:10Z"}
		runs: {"due_at":"2 06:30Z","state":"failed","finished_at":"2 06:35Z","code":"internal"}
		runs: {"backup":"$B-other","state":"succeeded","finished_at":"2 06:20Z"}`,
		`select auto_backup.recover('$B', '4 00:00Z')::text`, `{"incidents": 1}`,
		`select to_char(i.recovered_at at time zone 'UTC', 'FMDD HH24:MI') || ' ' || to_char(r.due_at at time zone 'UTC', 'FMDD HH24:MI') from auto_backup.incidents i join auto_backup.runs r on r.run_id = i.recovered_by where i.backup = '$B'`,
		"2 07:10 2 07:00",
	},
	{
		"a success at the moment of an incident ends it", `incidents: {}
		runs: {"state":"succeeded","finished_at":"2 06:10Z"}`,
		`select auto_backup.recover('$B', '4 00:00Z')::text`, `{"incidents": 1}`, "", "",
	},
	{
		"an incident that is over stays as it was", `incidents: {"recovered_at":"2 06:30Z"}
		runs: {"state":"succeeded","finished_at":"3 06:10Z"}`,
		`select auto_backup.recover('$B', '4 00:00Z')::text`, `{}`, "", "",
	},
	{
		"another backup's incident", `insert into auto_backup.settings (backup, document, owner) values ('$B-other', '{}', 'test')
		incidents: {"backup":"$B-other"}
		runs: {"backup":"$B-other","state":"succeeded","finished_at":"3 06:10Z"}`,
		`select auto_backup.recover('$B', '4 00:00Z')::text`, `{}`, "", "",
	},
	{
		"what is 400 days old, and what is older", `runs: {"requested_at":"2025-01-02T06:00Z","state":"succeeded","finished_at":"2025-01-02T06:00Z"}
		runs: {"due_at":"3 06:00Z","requested_at":"2025-01-02T05:59Z","state":"succeeded","finished_at":"2025-01-02T06:00Z"}
		runs: {"backup":"$B-other","requested_at":"2025-01-02T05:59Z","state":"succeeded","finished_at":"2025-01-02T06:00Z"}
		incidents: {"opened_at":"2025-01-02T06:00Z"}
		incidents: {"due_at":"3 06:00Z","opened_at":"2025-01-02T05:59Z"}
		insert into auto_backup.settings (backup, document, owner) values ('$B-other', '{}', 'test')
		incidents: {"backup":"$B-other","opened_at":"2025-01-02T05:59Z"}`,
		`select auto_backup.prune('$B', timestamptz '2025-01-02T06:00Z' + interval '400 days')::text`, `{"runs": 1, "incidents": 1}`,
		`select (select count(*) from auto_backup.runs where backup in ('$B', '$B-other')) || ' ' || (select count(*) from auto_backup.incidents where backup in ('$B', '$B-other'))`, "2 2",
	},
	{
		"what would be old if a wrong clock were right", `runs: {"state":"succeeded","finished_at":"2 06:00Z"}
		incidents: {}`,
		`select auto_backup.prune('$B', '2036-01-01T06:00Z')::text`, `{}`, "", "",
	},
	{"nothing is old", `runs: {}`, `select auto_backup.prune('$B', '2 06:00Z')::text`, `{}`, "", ""},
	{
		"what an overdue incident is about", `runs: {"state":"succeeded","finished_at":"2 06:10Z"}
		runs: {"due_at":"3 06:00Z","state":"succeeded","finished_at":"2 06:11Z"}
		runs: {"due_at":"2 06:05Z","state":"failed","finished_at":"2 06:10Z","code":"internal"}
		runs: {"backup":"$B-other","state":"succeeded","finished_at":"2 06:09Z"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.incident_reason(i) from auto_backup.incidents i where i.backup = '$B'`, "o último backup com sucesso terminou em 02/03/2026 às 03:10 (America/Sao_Paulo)", "", "",
	},
	{
		"what an overdue incident is about, in a time zone that is not known", `update auto_backup.settings set document = jsonb_set(document, '{timezone}', '"Nowhere/Else"') where backup = '$B'
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.incident_reason(i) from auto_backup.incidents i where i.backup = '$B'`, "nenhum backup terminou com sucesso desde a instalação, em 01/03/2026 às 12:00 (UTC)", "", "",
	},
	{
		"what an overdue incident is about, without a time zone", `update auto_backup.settings set document = document - 'timezone' where backup = '$B'
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.incident_reason(i) from auto_backup.incidents i where i.backup = '$B'`, "nenhum backup terminou com sucesso desde a instalação, em 01/03/2026 às 12:00 (UTC)", "", "",
	},
}
