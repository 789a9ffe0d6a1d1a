package payload_test

import (
	"fmt"
	"strings"
)

// response inserts an answer to the case's request, which was posted at 06:00.
func response(columns, values string) string {
	return `insert into net._http_response (id, ` + columns + `) values (-10000 - (substr('$B', 6)::bigint), ` + values + `)`
}

// The state of the case's request, without what is the same in every case.
const answerOf = `select ((auto_backup.answer(-10000 - (substr('$B', 6)::bigint), '2 06:00Z', 'marker') - 'at') - 'body')::text`

// request puts the case's request into pg_net's queue.
func request(body string) string {
	return `insert into net.http_request_queue (id, method, url, body, timeout_milliseconds) values (-10000 - (substr('$B', 6)::bigint), 'POST', 'http://127.0.0.1:9/', ` + body + `, 1000)`
}

var answerSteps = []step{
	{"none", "", answerOf, `{"state": "gone"}`, "", ""},
	{"queued", request(`'a marker b'`), answerOf, `{"state": "queued"}`, "", ""},
	{"another request is queued", request(`'another'`), answerOf, `{"state": "gone"}`, "", ""},
	{"a request without a body is queued", request(`null`), answerOf, `{"state": "gone"}`, "", ""},
	{"queued under another id", strings.Replace(request(`'a marker b'`), "-10000", "-20000", 1), answerOf, `{"state": "gone"}`, "", ""},
	{"ten seconds before", response("status_code, created", "200, '2 05:59:50Z'"), answerOf, `{"code": null, "ours": false, "error": null, "state": "answered", "status": 200, "timed_out": false}`, "", ""},
	{"more than ten seconds before", response("status_code, created", "200, '2 05:59:49.999Z'"), answerOf, `{"state": "gone"}`, "", ""},
	{"almost six hours after", response("status_code, created", "200, '2 11:59:59Z'"), answerOf, `{"code": null, "ours": false, "error": null, "state": "answered", "status": 200, "timed_out": false}`, "", ""},
	{"six hours after", response("status_code, created", "200, '2 12:00Z'"), answerOf, `{"state": "gone"}`, "", ""},
	{
		"two, of which the first counts", response("status_code, created", "500, '2 06:02Z'") + "\n" + response("status_code, created", "200, '2 06:01Z'"),
		`select auto_backup.answer(-10000 - (substr('$B', 6)::bigint), '2 06:00Z', 'marker') ->> 'status'`, "200", "", "",
	},
	{
		"two, of which the first is another run's", response("status_code, content, created", `500, '{"run_id":"other"}', '2 06:01Z'`) + "\n" + response("status_code, content, created", `200, '{"run_id":"marker"}', '2 06:02Z'`),
		`select (auto_backup.answer(-10000 - (substr('$B', 6)::bigint), '2 06:00Z', 'marker') - 'code' - 'error')::text`, `{"at": "2026-03-02T06:02:00+00:00", "body": {"run_id": "marker"}, "ours": false, "state": "answered", "status": 200, "timed_out": false}`, "", "",
	},
	{"an error", response("error_msg, timed_out, created", "'a<b', false, '2 06:01Z'"), answerOf, `{"code": null, "ours": false, "error": "a‹b", "state": "answered", "status": null, "timed_out": false}`, "", ""},
	{"a timeout by its flag", response("error_msg, timed_out, created", "'x', true, '2 06:01Z'"), answerOf, `{"code": null, "ours": false, "error": "x", "state": "answered", "status": null, "timed_out": true}`, "", ""},
	{"a timeout by its text", response("error_msg, created", "'TIMEOUT was reached', '2 06:01Z'"), answerOf, `{"code": null, "ours": false, "error": "TIMEOUT was reached", "state": "answered", "status": null, "timed_out": true}`, "", ""},
	{"no timeout by its text", response("error_msg, created", "'a timeout', '2 06:01Z'"), answerOf, `{"code": null, "ours": false, "error": "a timeout", "state": "answered", "status": null, "timed_out": false}`, "", ""},
	{
		"the function's code counts before the platform's", response("status_code, headers, content, created", `500, '{"X-Backup-Function":"1","sb-error-code":"SB"}', '{"code":"own"}', '2 06:01Z'`),
		answerOf, `{"code": "own", "ours": true, "error": null, "state": "answered", "status": 500, "timed_out": false}`, "", "",
	},
	{
		"the platform's code counts before another function's", response("status_code, headers, content, created", `500, '{"x-other":"X","SB-Error-Code":"SB"}', '{"code":"other"}', '2 06:01Z'`),
		answerOf, `{"code": "SB", "ours": false, "error": null, "state": "answered", "status": 500, "timed_out": false}`, "", "",
	},
	{
		"headers without the platform's code", response("status_code, headers, content, created", `500, '{"x-other":"X"}', '{"code":"other"}', '2 06:01Z'`),
		answerOf, `{"code": "other", "ours": false, "error": null, "state": "answered", "status": 500, "timed_out": false}`, "", "",
	},
	{
		"headers that are none", response("status_code, headers, content, created", `500, '["sb-error-code"]', '{"code":"other"}', '2 06:01Z'`),
		answerOf, `{"code": "other", "ours": false, "error": null, "state": "answered", "status": 500, "timed_out": false}`, "", "",
	},
	{
		"a code of 60 characters", response("status_code, content, created", `500, '{"code":"`+strings.Repeat("c", 60)+`"}', '2 06:01Z'`),
		`select length(auto_backup.answer(-10000 - (substr('$B', 6)::bigint), '2 06:00Z', 'marker') ->> 'code')::text`, "60", "", "",
	},
	{
		"a code of 61 characters", response("status_code, content, created", `500, '{"code":"`+strings.Repeat("c", 61)+`"}', '2 06:01Z'`),
		`select length(auto_backup.answer(-10000 - (substr('$B', 6)::bigint), '2 06:00Z', 'marker') ->> 'code')::text`, "null", "", "",
	},
}

// The case's row of system_logs that is about an incident, after its alert is settled.
const settledLog = `select string_agg(l.message || ' ' || coalesce(l.context #>> '{alert,state}', '-'), ', ' order by l.message) from public.system_logs l where l.context ->> 'backup' = '$B'`

// logRow inserts a row of system_logs that has a message.
func logRow(message, kind, context, at string) string {
	return `insert into public.system_logs (type, message, context, created_at) values ('` + kind + `', '` + message + `', '{"backup":"$B"}'::jsonb || ` + context + `, ` + at + `)`
}

// settle calls settle_alert for the case's incident.
func settle(state string) string {
	return `select coalesce(auto_backup.settle_alert(incident_id, '` + state + `', 'watchdog', '2 06:30Z', 200, 'e'), 'done') from auto_backup.incidents where backup = '$B'`
}

// ofRun and ofIncident are the contexts of rows about the case's run and incident.
const (
	ofRun      = `(select jsonb_build_object('run_id', run_id, 'reported_by', 'watchdog') from auto_backup.runs where backup = '$B')`
	ofIncident = `(select jsonb_build_object('incident_id', incident_id, 'reported_by', 'watchdog') from auto_backup.incidents where backup = '$B')`
)

var settleSteps = []step{
	{
		"delivered", "runs: {" + failed + "}\nincidents: {}", settle("delivered"), "done",
		`select concat_ws(' ', i.alert_state, i.alerted_by, i.alert_http_status, i.alert_error, to_char(i.alerted_at at time zone 'UTC', 'HH24:MI'), r.alert_state) from auto_backup.incidents i join auto_backup.runs r on r.run_id = i.run_id where i.backup = '$B'`,
		"delivered watchdog 200 e 06:30 delivered",
	},
	{
		"not delivered", "runs: {" + failed + "}\nincidents: {}", settle("not_delivered"), "done",
		`select concat_ws(' ', i.alert_state, i.alerted_by, i.alert_http_status, i.alert_error, to_char(i.alerted_at at time zone 'UTC', 'HH24:MI'), r.alert_state) from auto_backup.incidents i join auto_backup.runs r on r.run_id = i.run_id where i.backup = '$B'`,
		"not_delivered watchdog 200 e not_delivered",
	},
	{
		"other incidents and runs stay", "runs: {" + failed + "}\nincidents: {}\nruns: {\"due_at\":\"3 06:00Z\"," + failed + "}\nincidents: {\"due_at\":\"3 06:00Z\"}",
		`select coalesce(auto_backup.settle_alert(min(incident_id), 'delivered', 'watchdog', '2 06:30Z'), 'done') from auto_backup.incidents where backup = '$B'`, "done",
		`select string_agg(i.alert_state || ' ' || coalesce(r.alert_state, '-'), ', ' order by i.due_at) from auto_backup.incidents i join auto_backup.runs r on r.run_id = i.run_id where i.backup = '$B'`, "delivered delivered, waiting -",
	},
	{
		"rows of the log", "runs: {" + failed + "}\nincidents: {}\n" + strings.Join([]string{
			logRow("a, ten seconds before the request", "auto_backup_error", ofRun, "'2 05:59:50Z'"),
			logRow("b, before that", "auto_backup_error", ofRun, "'2 05:59:49Z'"),
			logRow("c, of another type", "auto_backup", ofRun, "'2 06:10Z'"),
			logRow("d, by the function", "auto_backup_error", ofRun+` || '{"reported_by":"function"}'`, "'2 06:10Z'"),
			logRow("e, by nobody", "auto_backup_error", ofRun+` - 'reported_by'`, "'2 06:10Z'"),
			logRow("f, of another run", "auto_backup_error", ofRun+` || '{"run_id":"x"}'`, "'2 06:10Z'"),
			logRow("g, of the incident", "auto_backup_error", ofIncident, "'2 06:10Z'"),
		}, "\n"),
		settle("delivered"), "done", settledLog,
		"a, ten seconds before the request delivered, b, before that -, c, of another type -, d, by the function -, e, by nobody -, f, of another run -, g, of the incident -",
	},
	{
		"rows of the log about being overdue", "runs: {" + failed + "}\n" + `incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}` + "\n" + strings.Join([]string{
			logRow("a, almost a day ago", "auto_backup_error", ofIncident, "now() - interval '24 hours'"),
			logRow("b, longer ago", "auto_backup_error", ofIncident, "now() - interval '25 hours'"),
			logRow("c, of a run", "auto_backup_error", ofRun, "now()"),
			logRow("d, of another incident", "auto_backup_error", ofIncident+` || '{"incident_id":"0"}'`, "now()"),
		}, "\n"),
		settle("not_delivered"), "done", settledLog,
		"a, almost a day ago not_delivered, b, longer ago -, c, of a run -, d, of another incident -",
	},
	{
		"what the row of the log says", "runs: {" + failed + "}\nincidents: {}\n" + logRow("a", "auto_backup_error", ofRun, "'2 06:10Z'"),
		settle("delivered"), "done", `select (l.context -> 'alert')::text from public.system_logs l where l.context ->> 'backup' = '$B'`,
		`{"at": "2026-03-02T06:30:00Z", "by": "watchdog", "state": "delivered", "http_status": 200}`,
	},
}

// job makes the case's daily job as one of two roles.
func job(jobid, owner, active string) string {
	return `insert into cron.job (jobid, schedule, command, nodename, nodeport, database, username, active, jobname) values (` + jobid + `, '0 0 31 2 *', 'select 1', 'localhost', 5432, 'postgres', '` + owner + `', ` + active + `, '$B-daily')
	finally: delete from cron.job where jobname = '$B-daily'`
}

// tick is a line of pg_cron's history of the case's job.
func tick(status, message, at string) string {
	return `insert into cron.job_run_details (jobid, runid, username, status, return_message, start_time) select jobid, nextval('cron.runid_seq'), username, '` + status + `', '` + message + `', ` + at + ` from cron.job where jobname = '$B-daily' and username = 'postgres'`
}

const (
	tickProblem = `select auto_backup.tick_problem('$B', 'daily', '2 06:00Z')`
	ownJob      = `900000000 + substr('$B', 6)::bigint`
	otherJob    = `800000000 + substr('$B', 6)::bigint`
	silent      = "the job did not tick at that time"
)

var tickSteps = []step{
	{"another role's job beside the own one", job(otherJob, "supabase_admin", "true") + "\n" + job(ownJob, "postgres", "true"), tickProblem, silent, "", ""},
	{"another role's active job beside the own one, which is not", job(otherJob, "supabase_admin", "true") + "\n" + job(ownJob, "postgres", "false"), tickProblem, "the job $B-daily is not active", "", ""},
	{"a minute before", job(ownJob, "postgres", "true") + "\n" + tick("failed", "e", "'2 05:59Z'"), tickProblem, "its tick failed: e", "", ""},
	{"more than a minute before", job(ownJob, "postgres", "true") + "\n" + tick("failed", "e", "'2 05:58:59Z'"), tickProblem, silent, "", ""},
	{"almost five minutes after", job(ownJob, "postgres", "true") + "\n" + tick("failed", "e", "'2 06:04:59Z'"), tickProblem, "its tick failed: e", "", ""},
	{"five minutes after", job(ownJob, "postgres", "true") + "\n" + tick("failed", "e", "'2 06:05Z'"), tickProblem, silent, "", ""},
	{"the last of two", job(ownJob, "postgres", "true") + "\n" + tick("failed", "first", "'2 06:00Z'") + "\n" + tick("failed", "last", "'2 06:00Z'"), tickProblem, "its tick failed: last", "", ""},
	{"one that succeeded", job(ownJob, "postgres", "true") + "\n" + tick("succeeded", "e", "'2 06:00Z'"), tickProblem, silent, "", ""},
	{"another job's", job(ownJob, "postgres", "true") + "\n" + job(otherJob, "supabase_admin", "true") + "\n" + strings.Replace(tick("failed", "e", "'2 06:00Z'"), "username = 'postgres'", "username <> 'postgres'", 1), tickProblem, silent, "", ""},
}

// key replaces the case's key of the gateway.
func key(value string) string {
	return `select vault.update_secret(id, ` + value + `) from vault.secrets where name = '$B/alert-key'`
}

// secretToken replaces the case's token.
func secretToken(value string) string {
	return `select vault.update_secret(id, '` + value + `') from vault.secrets where name = '$B/token'`
}

// The headers of the case's last request.
const lastRequest = `select %s from net.http_request_queue q where auto_backup.json(convert_from(q.body, 'UTF8')) ->> 'backup' = '$B' order by q.id desc limit 1`

// sendKey lets the function's requests present the key.
const sendKey = `update auto_backup.settings set document = jsonb_set(document, '{function,send_key}', 'true') where backup = '$B'`

var requestSteps = []step{
	{"a key that is a JWT", key(`'eyJhbG.eyJy.c2ln'`), `select auto_backup.key_headers('$B')::text`, `{"apikey": "eyJhbG.eyJy.c2ln", "Authorization": "Bearer eyJhbG.eyJy.c2ln"}`, "", ""},
	{"a key of two parts", key(`'eyJhbG.eyJy'`), `select auto_backup.key_headers('$B')::text`, `{"apikey": "eyJhbG.eyJy"}`, "", ""},
	{"a key with white space around it", key(`E' \t\r\nsb_publishable_1\r\n'`), `select auto_backup.key_headers('$B')::text`, `{"apikey": "sb_publishable_1"}`, "", ""},
	{"a key with white space in it", key(`'sb_publishable 1'`), `select auto_backup.key_headers('$B')::text`, `{}`, "", ""},
	{"both keys", bothKeys, `select auto_backup.key_headers('$B')::text`, `{"apikey": "sb_publishable_1"}`, "", ""},
	{"both keys, the other way", bothKeys, `select auto_backup.key_headers('$B', other => true)::text`, `{"apikey": "sb_publishable_1", "Authorization": "Bearer eyJhbG.eyJy.c2ln"}`, "", ""},
	{"one key, the other way", key(`'sb_publishable_1'`), `select coalesce(auto_backup.key_headers('$B', other => true)::text, 'none')`, "none", "", ""},
	{"a JWT alone, the other way", key(`'eyJhbG.eyJy.c2ln'`), `select coalesce(auto_backup.key_headers('$B', other => true)::text, 'none')`, "none", "", ""},
	{"two lines of which the second is no JWT", key(`E'sb_publishable_1\nsb_publishable_2'`), `select auto_backup.key_headers('$B')::text`, `{}`, "", ""},
	{"no key", `delete from vault.secrets where name = '$B/alert-key'`, `select auto_backup.key_headers('$B')::text`, `{}`, "", ""},
	{"a token of 42 characters", secretToken(token[1:]), `select auto_backup.token('$B')`, `error: auto_backup: the vault secret "$B/token" is damaged, so no backup can be started: it has 42 characters instead of 43`, "", ""},
	{"a token of 44 characters", secretToken(token + "A"), `select auto_backup.token('$B')`, `error: auto_backup: the vault secret "$B/token" is damaged, so no backup can be started: it has 44 characters instead of 43`, "", ""},
	{"a token with another character", secretToken(token[1:] + "+"), `select auto_backup.token('$B')`, `error: auto_backup: the vault secret "$B/token" is damaged, so no backup can be started: it contains characters that no token has`, "", ""},
	{"a token with white space", secretToken(token[1:] + " "), `select auto_backup.token('$B')`, `error: auto_backup: the vault secret "$B/token" is damaged, so no backup can be started: it contains white space or a line break`, "", ""},
	{"a good token", "", `select auto_backup.token('$B')`, token, "", ""},
	{"no key is sent to a function that wants none", "", `select (auto_backup.start('$B', 'daily', 'schedule', '2 06:00Z', 1) is not null)::text`, "true", fmt.Sprintf(lastRequest, `(select string_agg(k, ' ' order by k) from jsonb_object_keys(q.headers) k)`), "Content-Type X-Backup-Signature"},
	{"a key is sent to a function that wants one", sendKey + "\n" + key(`'sb_publishable_1'`), `select (auto_backup.start('$B', 'daily', 'schedule', '2 06:00Z', 1) is not null)::text`, "true", fmt.Sprintf(lastRequest, `(select string_agg(k, ' ' order by k) from jsonb_object_keys(q.headers) k)`), "Content-Type X-Backup-Signature apikey"},
	{"a probe sends no key, either", "", `select ((auto_backup.probe('$B') ->> 'id')::bigint > 0)::text`, "true", fmt.Sprintf(lastRequest, `(select string_agg(k, ' ' order by k) from jsonb_object_keys(q.headers) k)`), "Content-Type X-Backup-Signature"},
	{"a probe sends a key, too", sendKey + "\n" + key(`'sb_publishable_1'`), `select ((auto_backup.probe('$B') ->> 'id')::bigint > 0)::text`, "true", fmt.Sprintf(lastRequest, `(select string_agg(k, ' ' order by k) from jsonb_object_keys(q.headers) k)`), "Content-Type X-Backup-Signature apikey"},
	{"the first attempt may alert", "", `select (auto_backup.start('$B', 'daily', 'schedule', '2 06:00Z', 1) is not null)::text`, "true", fmt.Sprintf(lastRequest, `coalesce(auto_backup.json(convert_from(q.body, 'UTF8')) ->> 'alert', 'unsaid') || ' ' || coalesce(auto_backup.json(convert_from(q.body, 'UTF8')) ->> 'wait', 'unsaid') || ' ' || q.timeout_milliseconds`), "unsaid unsaid 10000"},
	{"the second does not", "", `select (auto_backup.start('$B', 'daily', 'schedule', '2 06:00Z', 2) is not null)::text`, "true", fmt.Sprintf(lastRequest, `coalesce(auto_backup.json(convert_from(q.body, 'UTF8')) ->> 'alert', 'unsaid')`), "false"},
	{"the same attempt again", `runs: {}`, `select (auto_backup.start('$B', 'daily', 'schedule', '2 06:00Z', 1) is null)::text`, "true", `select count(*)::text from net.http_request_queue q where auto_backup.json(convert_from(q.body, 'UTF8')) ->> 'backup' = '$B'`, "0"},
	{"no address", `update auto_backup.settings set document = document #- '{function,url}' where backup = '$B'`, `select auto_backup.start('$B', 'daily', 'schedule', '2 06:00Z', 1)::text`, `error: auto_backup: the settings of backup "$B" lack the function's URL`, "", ""},
	{"an empty address", `update auto_backup.settings set document = jsonb_set(document, '{function,url}', '""') where backup = '$B'`, `select auto_backup.start('$B', 'daily', 'schedule', '2 06:00Z', 1)::text`, `error: auto_backup: the settings of backup "$B" lack the function's URL`, "", ""},
	{"the run knows its request", "", `select (auto_backup.start('$B', 'daily', 'schedule', '2 06:00Z', 1, false, '2 06:00:30Z') is not null)::text`, "true", `select (r.request_id = q.id)::text || ' ' || to_char(r.requested_at at time zone 'UTC', 'HH24:MI:SS') from auto_backup.runs r, net.http_request_queue q where r.backup = '$B' and auto_backup.json(convert_from(q.body, 'UTF8')) ->> 'run_id' = r.run_id::text`, "true 06:00:30"},
	{
		"a run that the watchdog starts knows why the job did not", `runs: {"due_at":"2 05:00Z"}`, `select (auto_backup.launch('$B', 'daily', 'catch_up', '2 06:00Z', 1, '2 06:10Z', 'because') - 'run_id')::text`, `{"due_at": "2026-03-02T06:00:00Z", "schedule": "daily"}`,
		`select string_agg(concat_ws(' ', trigger, tick), ', ' order by due_at) from auto_backup.runs where backup = '$B'`, "schedule, catch_up because",
	},
	{
		"a retry has no such reason", "", `select (auto_backup.launch('$B', 'daily', 'retry', '2 06:00Z', 2, '2 06:10Z') - 'run_id')::text`, `{"due_at": "2026-03-02T06:00:00Z", "schedule": "daily"}`,
		`select concat_ws(' ', trigger, attempt, tick) from auto_backup.runs where backup = '$B'`, "retry 2",
	},
	{
		"a run that cannot be started, because of the settings", `update auto_backup.settings set document = document #- '{function,url}' where backup = '$B'`,
		`select (auto_backup.launch('$B', 'daily', 'catch_up', '2 06:00Z', 1, '2 06:10Z', 'because') - 'run_id')::text`, `{"due_at": "2026-03-02T06:00:00Z", "problems": ["auto_backup: the settings of backup \"$B\" lack the function's URL"], "schedule": "daily"}`,
		`select concat_ws(' | ', state, code, error, tick, to_char(finished_at at time zone 'UTC', 'HH24:MI')) from auto_backup.runs where backup = '$B'`, `failed | not_dispatched | auto_backup: the settings of backup "$B" lack the function's URL | because | 06:10`,
	},
	{
		"a run that cannot be started, because of the token", secretToken("x"),
		`select (auto_backup.launch('$B', 'daily', 'catch_up', '2 06:00Z', 1, '2 06:10Z') ? 'problems')::text`, `true`,
		`select concat_ws(' | ', state, code, error) from auto_backup.runs where backup = '$B'`, `failed | token_invalid`,
	},
}

// changed sets one key of the daily schedule.
func changed(key, value string) string {
	if value == "" {
		return `update auto_backup.settings set document = document #- '{schedules,daily,` + key + `}' where backup = '$B'`
	}
	return `update auto_backup.settings set document = jsonb_set(document, '{schedules,daily,` + key + `}', '` + value + `') where backup = '$B'`
}

const (
	dispatched = `select (auto_backup.dispatch('$B', 'daily', '%s') is not null)::text`
	dueOf      = `select to_char(due_at at time zone 'UTC', 'FMDD HH24:MI:SS') || ' ' || to_char(requested_at at time zone 'UTC', 'HH24:MI:SS') from auto_backup.runs where backup = '$B'`
)

var dispatchSteps = []step{
	{"almost five minutes late", "", fmt.Sprintf(dispatched, "2 06:04:59Z"), "true", dueOf, "2 06:00:00 06:04:59"},
	{"five minutes late", "", fmt.Sprintf(dispatched, "2 06:05Z"), "false", dueOf, "null"},
	{"the later of two due times", changed("minutes", "[0, 2]"), fmt.Sprintf(dispatched, "2 06:03Z"), "true", dueOf, "2 06:02:00 06:03:00"},
	{"guarded, five minutes late", changed("guarded", "true"), fmt.Sprintf(dispatched, "2 06:05Z"), "false", dueOf, "null"},
	{"without a word on guarding", changed("guarded", ""), fmt.Sprintf(dispatched, "2 06:05Z"), "false", dueOf, "null"},
	{"without a word on guarding, and unreadable", changed("guarded", "") + "\n" + changed("zone", `"Nowhere"`), fmt.Sprintf(dispatched, "2 06:05Z"), "true", dueOf, "2 06:05:00 06:05:00"},
	{"without a switch", changed("enabled", ""), fmt.Sprintf(dispatched, "2 06:00Z"), "true", dueOf, "2 06:00:00 06:00:00"},
	{"switched off", changed("enabled", "false"), fmt.Sprintf(dispatched, "2 06:00Z"), "false", dueOf, "null"},
}

// Asking for a run is on the real clock.
const asked = `select (auto_backup.run_now('$B') - 'run_id' - 'requested_at')::text`

var askSteps = []step{
	{"no run is open", changed("enabled", "false") + "\nruns: {" + failed + "}", asked, `{"state": "requested", "joined": false, "trigger": "manual"}`, `select count(*)::text from auto_backup.runs where backup = '$B'`, "2"},
	{
		"a run is open", "runs: {\"state\":\"running\"}\nupdate auto_backup.runs set requested_at = now(), posted_at = now() where backup = '$B'",
		asked, `{"state": "running", "joined": true, "trigger": "schedule"}`, `select count(*)::text from auto_backup.runs where backup = '$B'`, "1",
	},
	{
		"two runs are open, of which the later is meant", "runs: {\"trigger\":\"retry\"}\nruns: {\"due_at\":\"2 07:00Z\",\"state\":\"running\"}\nupdate auto_backup.runs set requested_at = now() - case state when 'requested' then interval '1 minute' else '0' end, posted_at = now() where backup = '$B'",
		asked, `{"state": "running", "joined": true, "trigger": "schedule"}`, "", "",
	},
	{
		"another backup's run is open", changed("enabled", "false") + "\nruns: {\"backup\":\"$B-other\",\"state\":\"running\"}\nupdate auto_backup.runs set requested_at = now(), posted_at = now() where backup = '$B-other'",
		asked, `{"state": "requested", "joined": false, "trigger": "manual"}`, "", "",
	},
	{
		// What has ended is noticed before.
		"a run that has succeeded is not open", changed("enabled", "false") + "\nruns: {\"state\":\"running\"}\nupdate auto_backup.runs set requested_at = now(), posted_at = now() where backup = '$B'\n" + rowOf("true", "x") + "\n" + runOf("auto_backup", "{}", "now()"),
		asked, `{"state": "requested", "joined": false, "trigger": "manual"}`, "", "",
	},
}

var watchSteps = []step{
	{
		"nothing to do", meant, `select auto_backup.watch('$B', '1 13:00Z')::text`, `{"at": "2026-03-01T13:00:00+00:00", "backup": "$B"}`,
		`select concat_ws(' ', to_char(watched_at at time zone 'UTC', 'FMDD HH24:MI'), to_char(pruned_at at time zone 'UTC', 'FMDD HH24:MI'), summary::text) from auto_backup.watchdog where backup = '$B'`,
		`1 13:00 1 13:00 {"at": "2026-03-01T13:00:00+00:00", "backup": "$B"}`,
	},
	{
		"what it did", meant + "runs: {" + failed + "}\nincidents: {}", `select (auto_backup.watch('$B', '2 06:20Z') #- '{retry,runs,0}')::text`, `{"at": "2026-03-02T06:20:00+00:00", "retry": {"runs": []}, "alerts": {"sent": 1}, "backup": "$B"}`, "", "",
	},
	{
		"an incident that is over, whose alert is not settled", meant + "runs: {" + failed + "}\nruns: {\"due_at\":\"3 06:00Z\",\"state\":\"succeeded\",\"finished_at\":\"3 06:10Z\"}\nincidents: {\"recovered_at\":\"2 07:00Z\"}", `select auto_backup.watch('$B', '3 06:20Z')::text`, `{"at": "2026-03-03T06:20:00+00:00", "alerts": {"sent": 1}, "backup": "$B"}`, "", "",
	},
	{
		// An alert that was given up may still get through, for a day.
		"an incident that is over, whose alert was given up almost a day ago", meant + "runs: {\"due_at\":\"3 06:00Z\",\"state\":\"succeeded\",\"finished_at\":\"3 06:09Z\"}\n" + answered("200", `'{"emails_sent":1,"emails_failed":0}'`) + "\nupdate auto_backup.incidents set alert_state = 'not_delivered', recovered_at = '2 07:00Z' where backup = '$B'",
		`select auto_backup.watch('$B', '3 06:09:59Z')::text`, `{"at": "2026-03-03T06:09:59+00:00", "alerts": {"delivered": 1}, "backup": "$B"}`, "", "",
	},
	{
		"no retry without an incident", meant + `runs: {"logged_by":"watchdog",` + failed + "}", `select auto_backup.watch('$B', '2 06:40Z')::text`, `{"at": "2026-03-02T06:40:00+00:00", "backup": "$B"}`, "", "",
	},
	{
		"no retry for another backup's incident", meant + `insert into auto_backup.settings (backup, document, owner) values ('$B-other', '{}', 'test')
		incidents: {"backup":"$B-other"}
		runs: {"logged_by":"watchdog",` + failed + `}`, `select auto_backup.watch('$B', '2 06:40Z')::text`, `{"at": "2026-03-02T06:40:00+00:00", "backup": "$B"}`, "", "",
	},
	{
		"pruned a day ago", meant + `insert into auto_backup.watchdog (backup, watched_at, pruned_at, summary) values ('$B', '1 13:00Z', '1 13:00Z', '{}')
		runs: {"due_at":"1 06:00Z","requested_at":"2024-03-01T06:00:00Z","state":"succeeded","finished_at":"2 06:00Z"}`,
		`select (auto_backup.watch('$B', '2 13:00Z') - 'catch_up')::text`, `{"at": "2026-03-02T13:00:00+00:00", "backup": "$B"}`, `select to_char(pruned_at at time zone 'UTC', 'FMDD HH24:MI') from auto_backup.watchdog where backup = '$B'`, "1 13:00",
	},
	{
		"pruned more than a day ago", meant + `insert into auto_backup.watchdog (backup, watched_at, pruned_at, summary) values ('$B', '1 13:00Z', '1 13:00Z', '{}')
		runs: {"due_at":"1 06:00Z","requested_at":"2024-03-01T06:00:00Z","state":"succeeded","finished_at":"2 06:00Z"}`,
		`select (auto_backup.watch('$B', '2 13:00:01Z') - 'catch_up')::text`, `{"at": "2026-03-02T13:00:01+00:00", "prune": {"runs": 1}, "backup": "$B"}`, `select to_char(pruned_at at time zone 'UTC', 'FMDD HH24:MI:SS') from auto_backup.watchdog where backup = '$B'`, "2 13:00:01",
	},
	{
		"pruned in the future, before the clock was set back", meant + `insert into auto_backup.watchdog (backup, watched_at, pruned_at, summary) values ('$B', '1 13:00Z', '2 13:00:02Z', '{}')
		runs: {"due_at":"1 06:00Z","requested_at":"2024-03-01T06:00:00Z","state":"succeeded","finished_at":"2 06:00Z"}`,
		`select (auto_backup.watch('$B', '2 13:00:01Z') -> 'prune')::text`, `{"runs": 1}`, "", "",
	},
	{
		"a full batch is gone on with at the next tick", meant + `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at) select '$B', 'daily', 'schedule', timestamptz '2024-03-01Z' - n * interval '1 minute', 1, 'succeeded', '2024-03-01Z', '2024-03-01Z' from generate_series(1, 1000) n`,
		`select (auto_backup.watch('$B', '1 13:00Z') -> 'prune')::text`, `{"more": true, "runs": 1000}`, `select coalesce(pruned_at::text, 'not yet') from auto_backup.watchdog where backup = '$B'`, "not yet",
	},
	{
		"a part that fails does not stop the others", meant + `update auto_backup.settings set document = jsonb_set(document, '{schedules}', '[]') where backup = '$B'
		runs: {}`,
		`select (auto_backup.watch('$B', '2 06:40Z'))::text`, `{"at": "2026-03-02T06:40:00+00:00", "alerts": {"sent": 1}, "backup": "$B", "collect": {"failed": 1}, "problems": ["catch_up: cannot call jsonb_each on a non-object", "retry: cannot call jsonb_each on a non-object"]}`, "", "",
	},
	{
		"the last success is as old as allowed", successes, `select (auto_backup.watch('$B', '3 10:10Z') ? 'problems')::text`, "false", overdueState, "null",
	},
	{
		"the last success is older", successes, `select (auto_backup.watch('$B', '3 10:10:01Z') ? 'problems')::text`, "false", overdueState, "3 10:10 sent t",
	},
	{
		"the last drill is as old as allowed", drills, `select (auto_backup.watch('$B', '2 06:00Z') ? 'problems')::text`, "false", drillIncidents, "null",
	},
	{
		"the last drill is older", drills, `select (auto_backup.watch('$B', '2 06:00:01Z') ? 'problems')::text`, "false", drillIncidents, "drill_overdue sent",
	},
	{
		"a row that was locked almost a day ago", lockedRow, `select auto_backup.watch('$B', '3 06:19:59Z') ->> 'collect'`, "null", ended, "Backup automático ID: 5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11 - Total: 12 registros 12 true",
	},
	{
		"a row that was locked a day ago", lockedRow, `select auto_backup.watch('$B', '3 06:20Z') ->> 'collect'`, "null", ended, "Backup automático iniciado em 02/03/2026 7 false",
	},
	{
		"settings of which the look at what is needed fails", meant + `update auto_backup.settings set document = jsonb_set(document, '{alert,overdue_after_seconds}', '"x"') where backup = '$B'
		runs: {"logged_by":"watchdog",` + failed + `}
		incidents: {"alert_state":"not_delivered"}`,
		`select (auto_backup.watch('$B', '2 06:20Z') #- '{retry,runs,0}')::text`, `{"at": "2026-03-02T06:20:00+00:00", "retry": {"runs": []}, "backup": "$B", "problems": ["overdue: invalid input syntax for type bigint: \"x\""]}`, "", "",
	},
}

// successes has the newest success that counts, and what does not count.
const successes = meant + `runs: {"state":"succeeded","finished_at":"2 06:10Z"}
	runs: {"due_at":"3 06:00Z","state":"failed","finished_at":"3 06:10Z","code":"no_answer","logged_by":"watchdog"}
	runs: {"due_at":"4 06:00Z","state":"succeeded","finished_at":"3 10:20Z"}
	runs: {"backup":"$B-other","state":"succeeded","finished_at":"3 08:00Z"}
	`

// drills has the newest drill that counts, if one is allowed to be an hour old, and what
// does not count.
const drills = meant + `update auto_backup.settings set document = jsonb_set(document, '{drill}', '{"enabled": true, "overdue_after_seconds": 3600, "tables": [{}]}') where backup = '$B'
	insert into auto_backup.settings (backup, document, owner) values ('$B-other', '{}', 'test')
	insert into auto_backup.drills (backup, trigger, state, started_at, finished_at) values ('$B', 'manual', 'successful', '2 05:00Z', '2 05:01Z'), ('$B', 'manual', 'successful', '2 07:00Z', '2 07:01Z'), ('$B-other', 'manual', 'successful', '2 05:30Z', '2 05:31Z')
	insert into auto_backup.drills (backup, trigger, state, started_at, finished_at, code) values ('$B', 'manual', 'skipped', '2 05:30Z', '2 05:31Z', 'drill_locked')
	`

const drillIncidents = `select string_agg(code || ' ' || alert_state, ', ') from auto_backup.incidents where backup = '$B' and kind = 'drill'`

// lockedRow is a run whose row in backup_logs could not be written when it had succeeded.
var lockedRow = meant + `runs: {"state":"succeeded","finished_at":"2 06:20Z","backup_id":"5b1c2a52-9f9e-4f0e-8a57-0e7c5f2d8a11","records":12,"logged_by":"function","row_open":true}
	` + rowOf("false", "Backup automático iniciado em 02/03/2026")

var textSteps = []step{
	{"an object", "", `select auto_backup.json(E' \n{"a": 1}')::text`, `{"a": 1}`, "", ""},
	{"a list", "", `select auto_backup.json('[1]')::text`, `null`, "", ""},
	{"no JSON", "", `select auto_backup.json('{broken')::text`, `null`, "", ""},
	{"nothing", "", `select auto_backup.json(null)::text`, `null`, "", ""},
	{"one line", "", `select auto_backup.plain(E' a\r\n\tb <c> & d\u0085 ')`, `a b ‹c› ＆ d`, "", ""},
	{"200 characters", "", `select length(auto_backup.plain(repeat('é', 300)))::text`, `200`, "", ""},
	{"as many as wanted", "", `select auto_backup.plain('abcdef', 3)`, `abc`, "", ""},
	{"a whole second", "", `select auto_backup.rfc3339('2026-03-02T03:00:00-03')`, `2026-03-02T06:00:00Z`, "", ""},
	{"a part of a second", "", `select auto_backup.rfc3339('2026-03-02T03:00:00.25-03')`, `2026-03-02T06:00:00.250000Z`, "", ""},
	{"a local time", "", `select auto_backup.local_time('2026-03-02T03:00:00Z', 'America/Sao_Paulo')`, `02/03/2026 às 00:00 (America/Sao_Paulo)`, "", ""},
}

// configured calls configure for the case with one job.
const configured = `select string_agg(key, ', ') from jsonb_object_keys(auto_backup.configure('$B', '{"changed": true}', 'f-1', '[{"name": "$B-daily", "schedule": "0 0 31 2 *", "command": "select 2", "active": %s}]', '%s')) key`

const dailyJob = `select concat_ws(' | ', schedule, command, database, active, jobid = (select max(jobid) from cron.job where jobname = '$B-daily')) from cron.job where jobname = '$B-daily'`

// jobsEnd removes the case's jobs.
const jobsEnd = "finally: delete from cron.job where jobname like '$B-%'\n"

var installSteps = []step{
	{"a new job", jobsEnd, fmt.Sprintf(configured, "true", "[]"), "$B-daily", dailyJob, "0 0 31 2 * | select 2 | postgres | t | t"},
	{"a job that is off", jobsEnd, fmt.Sprintf(configured, "false", "[]"), "$B-daily", dailyJob, "0 0 31 2 * | select 2 | postgres | f | t"},
	{
		"the settings", jobsEnd, fmt.Sprintf(configured, "true", "[]"), "$B-daily",
		`select concat_ws(' ', document::text, function_id, updated_at = completed_at, updated_at > now() - interval '1 hour') from auto_backup.settings where backup = '$B'`, `{"changed": true} f-1 t t`,
	},
	{
		"an installation that was finished before", jobsEnd + "update auto_backup.settings set completed_at = '1 12:30Z' where backup = '$B'", fmt.Sprintf(configured, "true", "[]"), "$B-daily",
		`select to_char(completed_at at time zone 'UTC', 'FMDD HH24:MI') || ' ' || (updated_at > now() - interval '1 hour') from auto_backup.settings where backup = '$B'`, `1 12:30 true`,
	},
	{
		"other backups stay as they are", jobsEnd + `insert into auto_backup.settings (backup, document, owner) values ('$B-other', '{}', 'test')`, fmt.Sprintf(configured, "true", "[]"), "$B-daily",
		`select document::text from auto_backup.settings where backup = '$B-other'`, `{}`,
	},
	{"no such backup", jobsEnd + `delete from auto_backup.settings where backup = '$B'`, fmt.Sprintf(configured, "true", "[]"), "error: no backup $B is installed in this database", dailyJob, "null"},
	{
		"surplus jobs go", jobsEnd + `insert into cron.job (jobid, schedule, command, nodename, nodeport, database, username, active, jobname) select 700000000 + n, '0 0 31 2 *', 'select 1', 'localhost', 5432, 'postgres', 'postgres', true, '$B-' || n from generate_series(1, 2) n`,
		fmt.Sprintf(configured, "true", "[700000001]"), "$B-daily", `select string_agg(jobname, ', ' order by jobname) from cron.job where jobname like '$B-%'`, "$B-2, $B-daily",
	},
	{
		"a backup that leaves beside another one", "", `select auto_backup.leave('$B')::text`, "[]",
		`select (document ->> 'leaving') || ' ' || (select count(*) from auto_backup.settings where document ? 'leaving' and backup <> '$B') from auto_backup.settings where backup = '$B'`, "true 0",
	},
}

// dueIn lists the due times of a schedule in UTC.
func dueIn(zone, minutes, hours, days, months, weekdays string, either bool, after, until string) string {
	return fmt.Sprintf(`
		select string_agg(to_char(d at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ', ') from auto_backup.due_times(
			'{"zone":"%s","minutes":[%s],"hours":[%s],"days":[%s],"months":[%s],"weekdays":[%s],"days_either":%t}', '%s', '%s') d`,
		zone, minutes, hours, days, months, weekdays, either, after, until)
}

// Sets with every day, month and weekday.
var (
	everyDay     = numbers(1, 31)
	everyMonth   = numbers(1, 12)
	everyWeekday = numbers(0, 6)
)

func numbers(from, to int) string {
	var all []string
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return strings.Join(all, ",")
}

// daily is due once or more on every day.
func daily(zone, minutes, hours, after, until string) string {
	return dueIn(zone, minutes, hours, everyDay, everyMonth, everyWeekday, false, after, until)
}

var dueSteps = []step{
	{"from after the beginning to the end", "", daily("America/Sao_Paulo", "0", "3", "2 06:00Z", "3 06:00Z"), "2026-03-03 06:00:00", "", ""},
	{"the beginning within a minute", "", daily("America/Sao_Paulo", "0,1", "3", "2 06:00:30Z", "2 06:01:30Z"), "2026-03-02 06:01:00", "", ""},
	{"the end before the next", "", daily("America/Sao_Paulo", "0", "3", "2 06:00Z", "3 05:59:59Z"), "null", "", ""},
	{"several on a day", "", daily("UTC", "0,59", "0,23", "2 00:00Z", "3 00:00Z"), "2026-03-02 00:59:00, 2026-03-02 23:00:00, 2026-03-02 23:59:00, 2026-03-03 00:00:00", "", ""},
	{"every minute of an hour, from its middle", "", daily("UTC", "28,29,30,31", "6", "2 06:29Z", "2 06:31Z"), "2026-03-02 06:30:00, 2026-03-02 06:31:00", "", ""},
	{"an empty period", "", daily("UTC", "0", "6", "2 06:00Z", "2 06:00Z"), "null", "", ""},
	{"a period of one minute", "", daily("UTC", "0", "6", "2 05:59Z", "2 06:00Z"), "2026-03-02 06:00:00", "", ""},
	{"before 1970", "", daily("UTC", "0", "6", "1969-12-30T06:00:00Z", "1970-01-01T06:00:00Z"), "1969-12-31 06:00:00, 1970-01-01 06:00:00", "", ""},
	{"days of the month", "", dueIn("UTC", "0", "6", "3,5", everyMonth, everyWeekday, false, "1 00:00Z", "9 00:00Z"), "2026-03-03 06:00:00, 2026-03-05 06:00:00", "", ""},
	{"days of the week", "", dueIn("UTC", "0", "6", everyDay, everyMonth, "0,2", false, "1 00:00Z", "9 00:00Z"), "2026-03-01 06:00:00, 2026-03-03 06:00:00, 2026-03-08 06:00:00", "", ""},
	{"days of both kinds", "", dueIn("UTC", "0", "6", "3,8", everyMonth, "0,4", false, "1 00:00Z", "9 00:00Z"), "2026-03-08 06:00:00", "", ""},
	{"days of either kind", "", dueIn("UTC", "0", "6", "3,8", everyMonth, "0,4", true, "1 00:00Z", "9 00:00Z"), "2026-03-01 06:00:00, 2026-03-03 06:00:00, 2026-03-05 06:00:00, 2026-03-08 06:00:00", "", ""},
	{"months", "", dueIn("UTC", "0", "6", "1", "1,3", everyWeekday, false, "2025-12-31T00:00:00Z", "2026-04-02T00:00:00Z"), "2026-01-01 06:00:00, 2026-03-01 06:00:00", "", ""},
	{"a leap day", "", dueIn("UTC", "0", "6", "29", "2", everyWeekday, false, "2026-01-01T00:00:00Z", "2029-01-01T00:00:00Z"), "2028-02-29 06:00:00", "", ""},
	{"two years", "", strings.Replace(daily("Europe/Lisbon", "0", "6", "2026-01-01T12:00:00Z", "2028-01-01T12:00:00Z"), "string_agg(to_char(d at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), ', ')", "count(*) || ' ' || count(distinct d) || ' ' || count(*) filter (where to_char(d at time zone 'UTC', 'HH24:MI') = '05:00')", 1), "730 730 427", "", ""},
	{"skipped by a spring change", "", daily("America/New_York", "30", "2", "2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z"), "2026-03-08 07:00:00, 2026-03-09 06:30:00", "", ""},
	{"several skipped together, and the first after", "", daily("America/New_York", "0,30", "2,3", "2026-03-08T05:00:00Z", "2026-03-08T08:00:00Z"), "2026-03-08 07:00:00, 2026-03-08 07:30:00", "", ""},
	{"skipped, and the period begins with the gap", "", daily("America/New_York", "30", "2", "2026-03-08T06:59:00Z", "2026-03-08T07:00:00Z"), "2026-03-08 07:00:00", "", ""},
	{"skipped, and the period begins after the gap", "", daily("America/New_York", "30", "2", "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"), "null", "", ""},
	{"skipped, and the period ends before the gap", "", daily("America/New_York", "30", "2", "2026-03-08T05:00:00Z", "2026-03-08T06:59:00Z"), "null", "", ""},
	{"repeated by an autumn change", "", daily("America/New_York", "30", "1", "2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z"), "2026-11-01 05:30:00, 2026-11-02 06:30:00", "", ""},
	{"repeated, and the period begins between", "", daily("America/New_York", "30", "1", "2026-11-01T05:45:00Z", "2026-11-01T07:00:00Z"), "null", "", ""},
	{"repeated, up to the end of the hour", "", daily("America/New_York", "0,30", "1,2", "2026-11-01T04:59:00Z", "2026-11-01T08:00:00Z"), "2026-11-01 05:00:00, 2026-11-01 05:30:00, 2026-11-01 07:00:00, 2026-11-01 07:30:00", "", ""},
	{"a change by half an hour", "", daily("Australia/Lord_Howe", "30,45", "1", "2026-04-03T16:00:00Z", "2026-04-05T16:00:00Z"), "2026-04-04 14:30:00, 2026-04-04 14:45:00, 2026-04-05 15:00:00, 2026-04-05 15:15:00", "", ""},
	{"a change at midnight", "", daily("America/Sao_Paulo", "0,30", "0", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z"), "2018-11-04 03:00:00, 2018-11-05 02:00:00, 2018-11-05 02:30:00", "", ""},
	{"a day that was skipped", "", daily("Pacific/Apia", "0", "3", "2011-12-29T00:00:00Z", "2011-12-31T00:00:00Z"), "2011-12-29 13:00:00, 2011-12-30 10:00:00, 2011-12-30 13:00:00", "", ""},
	{"a day that was repeated", "", daily("Pacific/Kwajalein", "0", "12", "1969-09-29T00:00:00Z", "1969-10-02T00:00:00Z"), "1969-09-29 01:00:00, 1969-09-30 01:00:00, 1969-10-02 00:00:00", "", ""},
}

// A schedule that lacks anything is an error, whatever it lacks.
func init() {
	for _, key := range []string{"zone", "minutes", "hours", "days", "months", "weekdays", "days_either"} {
		dueSteps = append(dueSteps, step{
			"without " + key, "", `
				select count(d)::text from auto_backup.settings s, auto_backup.due_times((s.document #> '{schedules,daily}') - '` + key + `', '2 06:00Z', '3 06:00Z') d where s.backup = '$B'`,
			"error: auto_backup: incomplete schedule", "", "",
		})
	}
	for _, ends := range []string{"null, '3 06:00Z'", "'2 06:00Z', null"} {
		dueSteps = append(dueSteps, step{
			"an open period, " + ends, "", `
				select count(d)::text from auto_backup.settings s, auto_backup.due_times(s.document #> '{schedules,daily}', ` + ends + `) d where s.backup = '$B'`,
			"error: auto_backup: due_times needs the two ends of a period", "", "",
		})
	}
}
