package payload_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// step is one call of an SQL function with the rows before it. In all texts,
// $B is the name of the case's backup, and "<day> <time>" with a Z, as in
// "2 06:10Z", is that time of March 2026.
type step struct {
	name string
	// rows are put into tables before: "table: JSON object", each over the
	// defaults below. A line without a table is a statement; after "finally:", one
	// that is run at the end.
	rows string
	call string // a query of one text
	want string // that text, "null", or "error: " and the message's beginning
	// then is a query of one text afterwards, which is to give after.
	then, after string
}

// rowDefaults are the values of rows that a step does not name.
var rowDefaults = map[string]string{
	"runs": `{"run_id":"$U","backup":"$B","schedule":"daily","trigger":"schedule","due_at":"2 06:00Z","attempt":1,"state":"requested","refused_ids":[],
		"requested_at":"2 06:00Z","posted_at":"2 06:00Z"}`,
	"incidents": `{"backup":"$B","kind":"failed","schedule":"daily","due_at":"2 06:00Z","run_id":"$U","code":"no_answer","opened_at":"2 06:10Z",
		"logged":false,"alert_state":"waiting","alert_attempts":0}`,
	"schedules": `{"backup":"$B","schedule":"daily","definition":{},"since":"1 12:00Z"}`,
}

var (
	marchTime = regexp.MustCompile(`\b(\d{1,2}) (\d\d:\d\d(?::\d\d(?:\.\d+)?)?)Z`)
	row       = regexp.MustCompile(`(?s)^(\w+): (\{.*\})$`)
)

// expand writes out what a step abbreviates.
func (s *scenario) expand(text string) string {
	text = strings.ReplaceAll(text, "$B", s.backup)
	return marchTime.ReplaceAllStringFunc(text, func(short string) string {
		part := marchTime.FindStringSubmatch(short)
		if len(part[1]) == 1 {
			part[1] = "0" + part[1]
		}
		if len(part[2]) == len("06:00") {
			part[2] += ":00"
		}
		return "2026-03-" + part[1] + "T" + part[2] + "Z"
	})
}

// put inserts a row over its table's defaults, and answers with its values. The
// n-th row of a table has the same run_id as the n-th of another.
func (s *scenario) put(table, values string, n int) {
	s.Helper()
	id := fmt.Sprintf("%08d-0000-0000-0000-%s", n, s.unique())
	values = s.expand(strings.ReplaceAll(values, "$U", id))
	defaults := s.expand(strings.ReplaceAll(rowDefaults[table], "$U", id))
	identity := ""
	if table == "incidents" {
		identity = `|| jsonb_build_object('incident_id', nextval(pg_get_serial_sequence('auto_backup.incidents', 'incident_id')))`
	}
	s.exec(s.T, s.owner, fmt.Sprintf(`
		insert into auto_backup.%[1]s overriding system value
		select r.* from jsonb_populate_record(null::auto_backup.%[1]s, $1::text::jsonb %[2]s || $2::text::jsonb) r`, table, identity), defaults, values)
}

// unique are twelve digits that no other case has.
func (s *scenario) unique() string {
	return fmt.Sprintf("%012s", strings.TrimPrefix(s.backup, "case-"))
}

// run takes one step.
func (tdb *testDatabase) run(t *testing.T, c step) {
	t.Helper()
	s := tdb.newScenario(t)
	counts := map[string]int{}
	for _, line := range strings.Split(c.rows, "\n") {
		line = strings.TrimSpace(line)
		switch part := row.FindStringSubmatch(line); {
		case line == "":
		case strings.HasPrefix(line, "finally: "):
			defer s.exec(t, s.admin, s.expand(strings.TrimPrefix(line, "finally: ")))
		case part == nil:
			s.exec(t, s.admin, s.expand(line))
		default:
			counts[part[1]]++
			s.put(part[1], part[2], counts[part[1]])
		}
	}
	text := func(sql string) string {
		t.Helper()
		got, err := pgx.CollectOneRow(query(t, s.owner, s.expand(sql)), pgx.RowTo[*string])
		var refused *pgconn.PgError
		switch {
		case errors.As(err, &refused):
			return strings.ReplaceAll("error: "+refused.Message, s.backup, "$B")
		case errors.Is(err, pgx.ErrNoRows) || err == nil && got == nil:
			return "null"
		case err != nil:
			t.Fatal(err)
		}
		return strings.ReplaceAll(*got, s.backup, "$B")
	}
	// The message of an error may be longer.
	is := func(got, want string) bool {
		return got == want || strings.HasPrefix(want, "error: ") && strings.HasPrefix(got, want)
	}
	if got := text(c.call); !is(got, c.want) {
		t.Errorf("%s\nis   %s\nwant %s", strings.TrimSpace(c.call), got, c.want)
	}
	if c.then != "" {
		if got := text(c.then); got != c.after {
			t.Errorf("%s\nis   %s\nwant %s", strings.TrimSpace(c.then), got, c.after)
		}
	}
}

// testSteps proves of every function what it does at the edge of each of its
// conditions.
func (tdb *testDatabase) testSteps(t *testing.T) {
	for _, group := range []struct {
		name  string
		steps []step
	}{
		{"retry", retrySteps},
		{"alerts", alertSteps},
		{"collect", collectSteps},
		{"overdue", overdueSteps},
		{"catch_up", catchUpSteps},
		{"history", historySteps},
		{"answer", answerSteps},
		{"settle_alert", settleSteps},
		{"tick_problem", tickSteps},
		{"requests", requestSteps},
		{"dispatch", dispatchSteps},
		{"run_now", askSteps},
		{"watch", watchSteps},
		{"texts", textSteps},
		{"installation", installSteps},
		{"due_times", dueSteps},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.steps {
				t.Run(c.name, func(t *testing.T) { tdb.run(t, c) })
			}
		})
	}
}

const failed = `"state":"failed","finished_at":"2 06:10Z","code":"no_answer"`

// The number of a run's attempt is all that a retry needs to show.
const (
	retryAt     = `select (jsonb_array_length(coalesce(r -> 'runs', '[]')) || coalesce(' ' || (r -> 'problems')::text, '')) from auto_backup.retry('$B', '%s') r`
	attempts    = `select string_agg(attempt || ' ' || trigger || ' ' || state, ', ' order by attempt, due_at) from auto_backup.runs where backup = '$B' and due_at = '2 06:00Z'`
	oneAttempt  = `1 schedule failed`
	twoAttempts = `1 schedule failed, 2 retry requested`
)

var retrySteps = []step{
	{
		"half a minute before the delay is over", `runs: {` + failed + `}`,
		fmt.Sprintf(retryAt, "2 06:19:30Z"), "1", attempts, twoAttempts,
	},
	{
		"more than half a minute before", `runs: {` + failed + `}`,
		fmt.Sprintf(retryAt, "2 06:19:29Z"), "0", attempts, oneAttempt,
	},
	{
		"no delay in the settings", `update auto_backup.settings set document = document #- '{retry,delay_seconds}' where backup = '$B'
		runs: {` + failed + `}`,
		fmt.Sprintf(retryAt, "2 06:09:30Z"), "1", attempts, twoAttempts,
	},
	{
		"no number of attempts in the settings", `update auto_backup.settings set document = document #- '{retry,attempts}' where backup = '$B'
		runs: {` + failed + `}`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, oneAttempt,
	},
	{
		"no switch in the settings", `update auto_backup.settings set document = document #- '{schedules,daily,enabled}' where backup = '$B'
		runs: {` + failed + `}`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "1", attempts, twoAttempts,
	},
	{
		"schedule switched off", `update auto_backup.settings set document = jsonb_set(document, '{schedules,daily,enabled}', 'false') where backup = '$B'
		runs: {` + failed + `}`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, oneAttempt,
	},
	{
		"another run is requested",
		"runs: {" + failed + "}\nruns: {\"schedule\":\"manual\",\"trigger\":\"manual\",\"due_at\":\"2 06:11Z\"}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, oneAttempt,
	},
	{
		"another run is running",
		"runs: {" + failed + "}\nruns: {\"schedule\":\"manual\",\"trigger\":\"manual\",\"due_at\":\"2 06:11Z\",\"state\":\"running\"}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, oneAttempt,
	},
	{
		"another backup's run is running",
		"runs: {" + failed + "}\nruns: {\"backup\":\"$B-other\",\"state\":\"running\"}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "1", attempts, twoAttempts,
	},
	{
		"another backup's failure", `runs: {"backup":"$B-other",` + failed + `}`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, "null",
	},
	{
		"another schedule's failure", `runs: {"schedule":"weekly",` + failed + `}`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, oneAttempt,
	},
	{
		"a manual run's failure", `runs: {"trigger":"manual",` + failed + `}`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, "1 manual failed",
	},
	{
		"the latest due time succeeded",
		"runs: {" + failed + "}\nruns: {\"due_at\":\"2 06:05Z\",\"state\":\"succeeded\",\"finished_at\":\"2 06:09Z\"}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, oneAttempt,
	},
	{
		"the latest attempt was the last",
		"runs: {" + failed + "}\nruns: {\"attempt\":2,\"trigger\":\"retry\"," + failed + "}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, "1 schedule failed, 2 retry failed",
	},
	{
		"another run has made the backup at the same time",
		"runs: {" + failed + "}\nruns: {\"schedule\":\"manual\",\"trigger\":\"manual\",\"due_at\":\"2 06:05Z\",\"state\":\"succeeded\",\"finished_at\":\"2 06:10Z\"}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "0", attempts, oneAttempt,
	},
	{
		"another run made a backup before",
		"runs: {" + failed + "}\nruns: {\"schedule\":\"manual\",\"trigger\":\"manual\",\"due_at\":\"2 06:05Z\",\"state\":\"succeeded\",\"finished_at\":\"2 06:09:59Z\"}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "1", attempts, twoAttempts,
	},
	{
		"another backup succeeded since",
		"runs: {" + failed + "}\nruns: {\"backup\":\"$B-other\",\"state\":\"succeeded\",\"finished_at\":\"2 06:30Z\"}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "1", attempts, twoAttempts,
	},
	{
		"another run failed since",
		"runs: {" + failed + "}\nruns: {\"schedule\":\"manual\",\"trigger\":\"manual\",\"due_at\":\"2 06:05Z\",\"state\":\"failed\",\"finished_at\":\"2 06:30Z\",\"code\":\"internal\"}",
		fmt.Sprintf(retryAt, "2 07:00Z"), "1", attempts, twoAttempts,
	},
	{
		// After a crash pg_net's ids start again, and another request may have
		// the id of one that was not sent.
		"the unsent request's id is another request's now",
		`insert into net.http_request_queue (id, method, url, body, timeout_milliseconds) values (-(substr('$B', 6)::bigint), 'POST', 'http://127.0.0.1:9/', 'foreign', 1000)
		insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, code, request_id) values ('$B', 'daily', 'schedule', '2 06:00Z', 1, 'failed', '2 06:00Z', '2 06:10Z', 'not_sent', -(substr('$B', 6)::bigint))`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "1",
		`select string_agg(convert_from(body, 'UTF8'), ', ') from net.http_request_queue where id = -(substr('$B', 6)::bigint)`, "foreign",
	},
	{
		"the unsent request is still there, beside another one",
		`runs: {"state":"failed","finished_at":"2 06:10Z","code":"not_sent"}
		update auto_backup.runs set request_id = -1000 - (substr('$B', 6)::bigint) where backup = '$B'
		insert into net.http_request_queue (id, method, url, body, timeout_milliseconds) select -1000 - (substr('$B', 6)::bigint), 'POST', 'http://127.0.0.1:9/', convert_to('x ' || run_id, 'UTF8'), 1000 from auto_backup.runs where backup = '$B'
		insert into net.http_request_queue (id, method, url, body, timeout_milliseconds) select -2000 - (substr('$B', 6)::bigint), 'POST', 'http://127.0.0.1:9/', convert_to('y ' || run_id, 'UTF8'), 1000 from auto_backup.runs where backup = '$B'`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "1",
		`select string_agg(left(convert_from(body, 'UTF8'), 1), ', ') from net.http_request_queue where id in (-1000 - (substr('$B', 6)::bigint), -2000 - (substr('$B', 6)::bigint))`, "y",
	},
	{
		"the request of a failure of another kind is not withdrawn",
		`runs: {` + failed + `}
		update auto_backup.runs set request_id = -3000 - (substr('$B', 6)::bigint) where backup = '$B'
		insert into net.http_request_queue (id, method, url, body, timeout_milliseconds) select -3000 - (substr('$B', 6)::bigint), 'POST', 'http://127.0.0.1:9/', convert_to('x ' || run_id, 'UTF8'), 1000 from auto_backup.runs where backup = '$B'`,
		fmt.Sprintf(retryAt, "2 07:00Z"), "1",
		`select count(*)::text from net.http_request_queue where id = -3000 - (substr('$B', 6)::bigint)`, "1",
	},
	{
		"the token is gone", `delete from vault.secrets where name = '$B/token'
		runs: {` + failed + `}`,
		fmt.Sprintf(retryAt, "2 07:00Z"), `1 ["auto_backup: the vault secret \"$B/token\" is missing, so no backup can be started"]`, attempts, "1 schedule failed, 2 retry failed",
	},
}

// What became of the alert about the case's incidents.
const alertState = `select string_agg(concat_ws(' ', kind, alert_state, 'by ' || alerted_by, alert_attempts, alert_error), ', ' order by incident_id) from auto_backup.incidents where backup = '$B'`

// alertRow is the run of an incident, whose own alert went so.
func alertRow(function string) string {
	return `runs: {"state":"failed","finished_at":"2 06:08Z","code":"internal","function_alert":` + function + `}` + "\nincidents: {}"
}

// bothKeys gives the case a publishable key and the legacy one.
var bothKeys = key(`E'sb_publishable_1\neyJhbG.eyJy.c2ln'`)

const (
	// sentAlert says how often and why the case's alert was sent again, and with which
	// headers.
	sentAlert = `select concat_ws(' ', i.alert_attempts, i.alert_error) || ', refused: ' || (i.alert_refused_id is not null) || ', ' || concat_ws(' ',
		case when q.headers ->> 'apikey' = 'sb_publishable_1' then 'apikey' end, case when q.headers ->> 'Authorization' = 'Bearer eyJhbG.eyJy.c2ln' then 'Bearer' end)
		from auto_backup.incidents i join net.http_request_queue q on q.id = i.alert_request_id where i.backup = '$B'`
	// otherWay makes of the case's alert one that was sent the other way.
	otherWay = `update auto_backup.incidents set alert_refused_id = 1, alert_attempts = 2 where backup = '$B'`
)

// answered is an alert that was sent at 06:10 and answered so.
func answered(status, body string) string {
	return `incidents: {"run_id":"00000000-0000-0000-0000-000000000000","alert_state":"sent","alert_attempts":1,"alerted_by":"watchdog","alert_requested_at":"2 06:10Z"}
		update auto_backup.incidents set alert_request_id = -5000 - (substr('$B', 6)::bigint), alert_posted_at = now() where backup = '$B'
		insert into net._http_response (id, status_code, content, created) values (-5000 - (substr('$B', 6)::bigint), ` + status + `, ` + body + `, now())`
}

var alertSteps = []step{
	{"no incident", "", `select auto_backup.alerts('$B', '2 06:10Z')::text`, "{}", "", ""},
	{"the function's alert is pending, a moment before two minutes", alertRow(`"pending"`), `select auto_backup.alerts('$B', '2 06:09:59Z')::text`, "{}", alertState, "failed waiting 0"},
	{"the function's alert is pending, after two minutes", alertRow(`"pending"`), `select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"sent": 1}`, alertState, "failed sent by watchdog 1"},
	{"the function delivered", alertRow(`"delivered"`), `select auto_backup.alerts('$B', '2 06:08Z')::text`, `{"delivered": 1}`, alertState, "failed delivered by function 0"},
	{"the function reached some", alertRow(`"partly"`), `select auto_backup.alerts('$B', '2 06:08Z')::text`, `{"not_delivered": 1}`, alertState, "failed not_delivered by function 0 only some of the e-mails were sent"},
	{"the function did not deliver", alertRow(`"not_delivered"`), `select auto_backup.alerts('$B', '2 06:08Z')::text`, `{"sent": 1}`, alertState, "failed sent by watchdog 1"},
	{
		"the function said nothing, alerts are off", `update auto_backup.settings set document = jsonb_set(document, '{alert,enabled}', 'false') where backup = '$B'
		` + alertRow("null"), `select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"off": 1}`, alertState, "failed off 0",
	},
	{
		"no switch in the settings", `update auto_backup.settings set document = document #- '{alert,enabled}' where backup = '$B'
		` + alertRow("null"), `select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"off": 1}`, alertState, "failed off 0",
	},
	{
		"alerts were switched off after one was sent", `update auto_backup.settings set document = jsonb_set(document, '{alert,enabled}', 'false') where backup = '$B'
		` + answered("200", `'{"emails_sent":1,"emails_failed":0}'`), `select auto_backup.alerts('$B', '2 06:11Z')::text`, `{"delivered": 1}`, alertState, "failed delivered by watchdog 1",
	},
	{
		"two incidents", alertRow(`"not_delivered"`) + "\nruns: {\"due_at\":\"3 06:00Z\",\"state\":\"failed\",\"finished_at\":\"3 06:08Z\",\"code\":\"internal\"}\nincidents: {\"due_at\":\"3 06:00Z\"}",
		`select auto_backup.alerts('$B', '3 06:10Z')::text`, `{"sent": 2}`, alertState, "failed sent by watchdog 1, failed sent by watchdog 1",
	},
	{
		"another backup's incident", `insert into auto_backup.settings (backup, document, owner) select '$B-other', document, 'test' from auto_backup.settings where backup = '$B'
		runs: {"backup":"$B-other","state":"failed","finished_at":"2 06:08Z","code":"internal"}
		incidents: {"backup":"$B-other"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, "{}", `select alert_state from auto_backup.incidents where backup = '$B-other'`, "waiting",
	},

	// Being overdue is told where the failures of the same time were not.
	{"overdue alone", `incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`, `select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"sent": 1}`, alertState, "overdue sent by watchdog 1"},
	{
		"overdue after a delivered alert", `incidents: {"alert_state":"delivered"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"suppressed": 1}`, alertState, "failed delivered 0, overdue suppressed 0",
	},
	{
		"overdue after an alert that was delivered and one that was not", `incidents: {"alert_state":"delivered"}
		incidents: {"due_at":"1 06:00Z","alert_state":"off"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"suppressed": 1}`, alertState, "failed delivered 0, failed off 0, overdue suppressed 0",
	},
	{
		"overdue while an alert is under way, and another one was not delivered", `incidents: {"alert_state":"sent","alert_attempts":1,"alert_requested_at":"2 06:09Z"}
		incidents: {"due_at":"1 06:00Z","alert_state":"off"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{}`, alertState, "failed sent 1, failed off 0, overdue waiting 0",
	},
	{
		// An alert about an earlier outage says nothing about today's.
		"overdue after an alert of an outage that is over", `incidents: {"alert_state":"delivered","due_at":"1 06:00Z","recovered_at":"1 08:00Z"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"sent": 1}`, alertState, "failed delivered 0, overdue sent by watchdog 1",
	},
	{
		"overdue and over, after an alert of the same outage", `incidents: {"alert_state":"delivered","recovered_at":"2 08:00Z"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue","recovered_at":"2 08:00Z"}`,
		`select auto_backup.alerts('$B', '2 08:10Z')::text`, `{"suppressed": 1}`, alertState, "failed delivered 0, overdue suppressed 0",
	},
	{
		"overdue beside another backup's alert", `insert into auto_backup.settings (backup, document, owner) select '$B-other', document, 'test' from auto_backup.settings where backup = '$B'
		incidents: {"backup":"$B-other","alert_state":"delivered"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"sent": 1}`, alertState, "overdue sent by watchdog 1",
	},
	{
		"overdue beside another overdue alert", `incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue","alert_state":"delivered","due_at":"1 06:00Z"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"sent": 1}`, alertState, "overdue delivered 0, overdue sent by watchdog 1",
	},
	{
		"overdue at the moment of a delivered alert", `incidents: {"alert_state":"delivered","opened_at":"2 06:10Z"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"suppressed": 1}`, alertState, "failed delivered 0, overdue suppressed 0",
	},
	{
		"overdue before a delivered alert", `incidents: {"alert_state":"delivered","opened_at":"2 06:10:01Z"}
		incidents: {"kind":"overdue","schedule":null,"run_id":null,"code":"overdue"}`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"sent": 1}`, alertState, "failed delivered 0, overdue sent by watchdog 1",
	},

	// What the watchdog's own call came to.
	{"nothing is known of the call, a moment before five minutes", `incidents: {"alert_state":"sent","alert_attempts":1,"alert_requested_at":"2 06:10Z"}`, `select auto_backup.alerts('$B', '2 06:14:59Z')::text`, "{}", alertState, "failed sent 1"},
	{"nothing is known of the call, after five minutes", `incidents: {"alert_state":"sent","alert_attempts":1,"alert_requested_at":"2 06:10Z"}`, `select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, alertState, "failed sent by watchdog 2 the request was lost"},
	{"the second call was lost", `incidents: {"alert_state":"sent","alert_attempts":2,"alert_requested_at":"2 06:10Z","alert_error":"Bad scheme"}`, `select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, alertState, "failed sent by watchdog 3 Bad scheme"},
	{"the third call was lost", `incidents: {"alert_state":"sent","alert_attempts":3,"alert_requested_at":"2 06:10Z"}`, `select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"not_delivered": 1}`, alertState, "failed not_delivered by watchdog 3 the request was lost"},
	{"the third call could not be made", `incidents: {"alert_state":"sent","alert_attempts":3,"alert_requested_at":"2 06:10Z","alert_error":"Bad scheme"}`, `select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"not_delivered": 1}`, alertState, "failed not_delivered by watchdog 3 Bad scheme"},
	{"all e-mails were sent", answered("200", `'{"emails_sent":1,"emails_failed":0}'`), `select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"delivered": 1}`, alertState, "failed delivered by watchdog 1"},
	{"one was not", answered("200", `'{"emails_sent":1,"emails_failed":1}'`), `select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"not_delivered": 1}`, alertState, "failed not_delivered by watchdog 1 1 of 2 e-mails were not sent"},
	{"none was", answered("200", `'{"emails_sent":0,"emails_failed":0}'`), `select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, alertState, "failed sent by watchdog 2 the alert function sent no e-mail"},
	{"none was, and some failed", answered("200", `'{"emails_sent":0,"emails_failed":2}'`), `select auto_backup.alerts('$B', '2 06:14Z')::text`, `{}`, alertState, "failed sent by watchdog 1 the alert function sent no e-mail"},
	{
		// The answer is known long before the last attempt.
		"the run history says what the first call came to", "runs: {" + failed + "}\n" + strings.Replace(answered("200", `'{"message":"Nenhum assinante ativo"}'`), `"run_id":"00000000-0000-0000-0000-000000000000",`, "", 1),
		`select auto_backup.alerts('$B', '2 06:11Z')::text`, `{}`,
		`select concat_ws('; ', h.alert, (select i.alert_http_status from auto_backup.incidents i where i.backup = '$B')) from auto_backup.history h where h.backup = '$B'`,
		"sent by the watchdog, not delivered so far: the alert function sent no e-mail; 200",
	},
	{
		"refused, with one key: nothing else can be sent", key(`'eyJhbG.eyJy.c2ln'`) + "\n" + answered("401", `'{"code":401}'`),
		`select auto_backup.alerts('$B', '2 06:11Z')::text`, `{}`, alertState, "failed sent by watchdog 1 HTTP 401",
	},
	{
		"refused the first way", bothKeys + "\n" + answered("401", `'{"code":401}'`),
		`select auto_backup.alerts('$B', '2 06:11Z')::text`, `{"sent": 1}`, sentAlert, "2 HTTP 401, refused: true, apikey Bearer",
	},
	{
		"another failure than a refusal", bothKeys + "\n" + answered("403", `'{"code":403}'`),
		`select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, sentAlert, "2 HTTP 403, refused: false, apikey",
	},
	{
		"refused the other way, too", bothKeys + "\n" + answered("401", `'{"code":401}'`) + "\n" + otherWay,
		`select auto_backup.alerts('$B', '2 06:14:59Z')::text`, `{}`, alertState, "failed sent by watchdog 2 HTTP 401",
	},
	{
		"refused the other way, too, and after five minutes the first way again", bothKeys + "\n" + answered("401", `'{"code":401}'`) + "\n" + otherWay,
		`select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, sentAlert, "3 HTTP 401, refused: false, apikey",
	},
	{
		"failed the other way for another reason", bothKeys + "\n" + answered("500", `'{"code":500}'`) + "\n" + otherWay,
		`select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, sentAlert, "3 HTTP 500, refused: true, apikey Bearer",
	},
	{"counts that are no numbers", answered("200", `'{"emails_sent":"1e9","emails_failed":0}'`), `select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, alertState, "failed sent by watchdog 2 the alert function sent no e-mail"},
	{"another success", answered("201", `'{"emails_sent":1,"emails_failed":0}'`), `select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, alertState, "failed sent by watchdog 2 HTTP 201"},
	{"another success that sent some", answered("201", `'{"emails_sent":1,"emails_failed":1}'`), `select auto_backup.alerts('$B', '2 06:15Z')::text`, `{"sent": 1}`, alertState, "failed sent by watchdog 2 HTTP 201"},
	{
		"the third call sent no e-mail", answered("200", `'{"message":"none"}'`) + "\nupdate auto_backup.incidents set alert_attempts = 3 where backup = '$B'",
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"not_delivered": 1}`, alertState, "failed not_delivered by watchdog 3 the alert function sent no e-mail",
	},
	{
		"the third call was refused", answered("401", `'{"code":"UNAUTHORIZED"}'`) + "\nupdate auto_backup.incidents set alert_attempts = 3 where backup = '$B'",
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"not_delivered": 1}`, `select concat_ws(' ', alert_http_status, alert_error, alerted_at) from auto_backup.incidents where backup = '$B'`, "401 HTTP 401 UNAUTHORIZED",
	},
	{
		"the third call got no answer", `incidents: {"alert_state":"sent","alert_attempts":3,"alert_requested_at":"2 06:10Z"}
		update auto_backup.incidents set alert_request_id = -6000 - (substr('$B', 6)::bigint), alert_posted_at = now() where backup = '$B'
		insert into net._http_response (id, error_msg, created) values (-6000 - (substr('$B', 6)::bigint), 'refused', now())`,
		`select auto_backup.alerts('$B', '2 06:10Z')::text`, `{"not_delivered": 1}`, alertState, "failed not_delivered by watchdog 3 refused",
	},
	{
		"when it was delivered", answered("200", `'{"emails_sent":1,"emails_failed":0}'`),
		`select auto_backup.alerts('$B', '2 06:20Z')::text`, `{"delivered": 1}`, `select concat_ws(' ', alert_http_status, to_char(alerted_at at time zone 'UTC', 'DD HH24:MI')) from auto_backup.incidents where backup = '$B'`, "200 02 06:20",
	},

	// One that waits in pg_net's queue, and one that was given up.
	{"queued, a moment before half an hour", queued("sent", 1), `select auto_backup.alerts('$B', '2 06:39:59Z')::text`, "{}", alertState, "failed sent 1"},
	{"queued, after half an hour", queued("sent", 1), `select auto_backup.alerts('$B', '2 06:40Z')::text`, `{"not_delivered": 1}`, alertState, "failed not_delivered by watchdog 1 pg_net has not sent the request"},
	{"queued for the third time", queued("sent", 3), `select auto_backup.alerts('$B', '2 06:20Z')::text`, "{}", alertState, "failed sent 3"},
	{"given up, and still queued", queued("not_delivered", 1), `select auto_backup.alerts('$B', '2 06:50Z')::text`, "{}", alertState, "failed not_delivered 1"},
	{
		"given up, and delivered at last", answered("200", `'{"emails_sent":1,"emails_failed":0}'`) + "\nupdate auto_backup.incidents set alert_state = 'not_delivered' where backup = '$B'",
		`select auto_backup.alerts('$B', '3 06:09:59Z')::text`, `{"delivered": 1}`, alertState, "failed delivered by watchdog 1",
	},
	{
		"given up, and delivered after a day", answered("200", `'{"emails_sent":1,"emails_failed":0}'`) + "\nupdate auto_backup.incidents set alert_state = 'not_delivered' where backup = '$B'",
		`select auto_backup.alerts('$B', '3 06:10Z')::text`, `{}`, alertState, "failed not_delivered by watchdog 1",
	},
	{
		"given up, without a call", `incidents: {"alert_state":"not_delivered"}`,
		`select auto_backup.alerts('$B', '2 06:20Z')::text`, `{}`, alertState, "failed not_delivered 0",
	},
	{
		"sent long ago, and delivered", answered("200", `'{"emails_sent":1,"emails_failed":0}'`) + "\nupdate auto_backup.incidents set recovered_at = '2 07:00Z' where backup = '$B'",
		`select auto_backup.alerts('$B', '20 06:10Z')::text`, `{"delivered": 1}`, alertState, "failed delivered by watchdog 1",
	},
}

// queued is an alert that pg_net has not sent since 06:10.
func queued(state string, calls int) string {
	return fmt.Sprintf(`incidents: {"run_id":"00000000-0000-0000-0000-000000000000","alert_state":%q,"alert_attempts":%d,"alert_requested_at":"2 06:10Z"}
		update auto_backup.incidents set alert_request_id = -7000 - (substr('$B', 6)::bigint), alert_posted_at = now() where backup = '$B'
		insert into net.http_request_queue (id, method, url, body, timeout_milliseconds) select alert_request_id, 'POST', 'http://127.0.0.1:9/', convert_to(backup || '/' || incident_id, 'UTF8'), 1000 from auto_backup.incidents where backup = '$B'`, state, calls)
}
