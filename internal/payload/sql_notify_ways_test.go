package payload_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// watchAt is a tick of the watchdog some minutes after a run of 2 March.
func (s *scenario) watchAt(minutes int) {
	s.Helper()
	s.watch(fmt.Sprintf("%d %02d:%02d", 2+minutes/1440, (6+minutes/60)%24, minutes%60))
}

// testNoticeAnswers proves what counts as delivered and what is tried how often: what may
// pass eight times, what a receiver refuses three times, and a redirect, after which it
// may have the message, once. Nothing of an answer but its status is kept.
func (tdb *testDatabase) testNoticeAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		reply reply
		// want is the message's end, without its channel and event.
		want string
	}{
		"200":           {reply{status: 200, body: "s3cr3t"}, "delivered 1 200"},
		"204":           {reply{status: 204}, "delivered 1 204"},
		"201, a place":  {reply{status: 201, headers: map[string]string{"Location": "/messages/s3cr3t"}}, "delivered 1 201"},
		"202, a place":  {reply{status: 202, headers: map[string]string{"Location": "/runs/s3cr3t"}}, "delivered 1 202"},
		"redirect":      {reply{status: 302, headers: map[string]string{"location": "https://s3cr3t.test/"}}, "not_delivered 3 302 (HTTP 302)"},
		"redirected":    {reply{status: 200, headers: map[string]string{"Location": "https://s3cr3t.test/login"}, body: "<html>"}, "not_delivered 1 200 (the receiver has redirected the request)"},
		"moved":         {reply{status: 404, body: "no_service"}, "not_delivered 3 404 (HTTP 404)"},
		"gone":          {reply{status: 410, body: "channel_is_archived"}, "not_delivered 3 410 (HTTP 410)"},
		"400":           {reply{status: 400, body: "invalid s3cr3t"}, "not_delivered 3 400 (HTTP 400)"},
		"408":           {reply{status: 408}, "not_delivered 8 408 (HTTP 408)"},
		"429":           {reply{status: 429}, "not_delivered 8 429 (HTTP 429)"},
		"500":           {reply{status: 500, body: "s3cr3t"}, "not_delivered 8 500 (HTTP 500)"},
		"timeout":       {reply{failure: "Timeout of 5000 ms reached. Total time: 5000.1 ms (DNS time: 0 ms)", timedOut: true}, "not_delivered 8 (no answer within 5 seconds)"},
		"timeout, 0.14": {reply{failure: "Timeout was reached"}, "not_delivered 8 (no answer within 5 seconds)"},
		"refused":       {reply{failure: "Couldn't connect to server", timedOut: false}, "not_delivered 8 (Couldn't connect to server)"},
		"closed":        {reply{failure: "Server returned nothing (no headers, no data)", timedOut: false}, "not_delivered 8 (Server returned nothing (no headers, no data))"},
		"certificate":   {reply{failure: "SSL peer certificate or SSH remote key was not OK", timedOut: false}, "not_delivered 8 (SSL peer certificate or SSH remote key was not OK)"},
		"a forged text": {reply{failure: "could not reach " + webhookURL, timedOut: false}, "not_delivered 8 (no connection)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tdb.newScenario(t)
			s.change(installed, retrySetting("attempts", 0))
			s.heard(installed, "", map[string]map[string]any{"ops": webhook("slack")})
			s.watch("1 12:10")
			s.failure("2 06:00")
			open := func() bool {
				return one[bool](t, s.owner, `select bool_or(state in ('waiting', 'sent')) from auto_backup.notices where backup = $1`, s.backup)
			}
			for minutes := 10; minutes == 10 || open(); minutes += 10 {
				if minutes > 300 {
					t.Fatalf("after five hours: %v", s.notices())
				}
				s.watchAt(minutes)
				if len(s.outbox()) > 0 {
					s.receive("webhook/ops", c.reply)
				}
			}
			s.noticed("webhook/ops failed " + c.want)
			s.watchAt(400)
			s.noticed("webhook/ops failed " + c.want)
			s.unspoken()
		})
	}
}

// unspoken proves that no part of a URL or of a secret is in the ledger, in what the
// watchdog says of itself, or in the logs.
func (s *scenario) unspoken() {
	s.Helper()
	for _, text := range column[string](s.T, s.admin, `
		select n::text from auto_backup.notices n where backup = $1
		union all select w::text from auto_backup.watchdog w where backup = $1
		union all select l::text from public.system_logs l where l.context ->> 'backup' = $1
		union all select r::text from auto_backup.runs r where backup = $1`, s.backup) {
		if strings.Contains(text, "s3cr3t") || strings.Contains(text, "whsec_") || strings.Contains(text, ".test") {
			s.Errorf("a secret is in %s", text)
		}
	}
}

// testNoticeLost proves that a message which pg_net lost, or did not send for a quarter of
// an hour, is sent again, and that the request which waits is withdrawn before.
func (tdb *testDatabase) testNoticeLost(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.heard(installed, "", map[string]map[string]any{"ops": webhook("slack")})
	s.watch("1 12:10")
	s.failure("2 06:00")
	s.watchAt(10)
	s.watchAt(20)
	s.noticed("webhook/ops failed sent 1")
	first := one[int64](t, s.owner, `select request_id from auto_backup.notices where backup = $1`, s.backup)
	s.watchAt(30)
	s.noticed("webhook/ops failed sent 2 (pg_net has not sent the request)")
	if sent := s.outbox(); len(sent) != 1 {
		t.Errorf("%d requests wait", len(sent))
	}
	if n := one[int](t, s.admin, `select count(*) from net.http_request_queue where id = $1`, first); n != 0 {
		t.Error("the first request still waits")
	}
	s.exec(t, s.admin, `delete from net.http_request_queue where headers ? 'webhook-id'`)
	s.watchAt(40)
	s.noticed("webhook/ops failed sent 3 (the request was lost)")
}

// testNoticeUnreadable proves that a message whose answer cannot be read is not sent again
// for six hours, that a channel which a wrong clock has dated in the future is told of
// what happens now, and that a tick sends no more than fifty messages.
func (tdb *testDatabase) testNoticeUnreadable(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.heard(installed, "", map[string]map[string]any{"ops": webhook("slack", "failed")})
	s.watch("1 12:10")
	s.exec(t, s.owner, `update auto_backup.channels set since = '2036-01-01' where backup = $1`, s.backup)
	s.failure("2 06:00")
	s.watchAt(10)
	s.noticed("webhook/ops failed sent 1")
	s.exec(t, s.admin, `alter table net._http_response rename to hidden; delete from net.http_request_queue`)
	s.watchAt(300)
	s.noticed("webhook/ops failed sent 1")
	s.watchAt(380)
	s.noticed("webhook/ops failed sent 2 (the answer cannot be read)")
	s.exec(t, s.admin, `alter table net.hidden rename to _http_response`)
	s.receive("webhook/ops", reply{status: 200})
	s.watchAt(390)
	s.noticed("webhook/ops failed delivered 2 200")

	s.exec(t, s.owner, `
		insert into auto_backup.incidents (backup, kind, schedule, due_at, run_id, code, opened_at, alert_state, recovered_at)
		select $1, 'failed', 'many', $2::timestamptz + n * interval '1 second', gen_random_uuid(), 'internal', $2, 'off', $2 from generate_series(1, 60) as n`,
		s.backup, moment(t, "2 12:35"))
	s.watchAt(400)
	if got := len(s.outbox()); got != 50 {
		t.Errorf("a tick sends %d messages, want 50", got)
	}
	s.watchAt(401)
	if got := len(s.outbox()); got != 60 {
		t.Errorf("two ticks send %d messages, want 60", got)
	}
}

// testNoticeSecrets proves that a message whose secret is missing, damaged or no URL waits
// and says so, that it is sent when the secret is back, and that it is given up after a day.
func (tdb *testDatabase) testNoticeSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		spoil, want string
	}{
		"missing":    {`delete from vault.secrets where name = $1`, `the vault secret "NAME" is missing`},
		"unreadable": {`update vault.secrets set secret = encode('\x00', 'base64') where name = $1`, `the vault secret "NAME" is damaged`},
		"no URL":     {`delete from vault.secrets where name = $1; select vault.create_secret('s3cr3t', $1)`, `the vault secret "NAME" has no URL`},
		"two lines":  {`delete from vault.secrets where name = $1; select vault.create_secret(E'https://x.test/s3cr3t\n', $1)`, `the vault secret "NAME" has no URL`},
	} {
		t.Run(name, func(t *testing.T) {
			s := tdb.newScenario(t)
			s.change(installed, retrySetting("attempts", 0))
			s.heard(installed, "", map[string]map[string]any{"ops": webhook("slack")})
			s.watch("1 12:10")
			for statement := range strings.SplitSeq(c.spoil, "; ") {
				s.exec(t, s.admin, statement, s.backup+"/webhook/ops")
			}
			want := "webhook/ops failed waiting 0 (" + strings.ReplaceAll(c.want, "NAME", s.backup+"/webhook/ops") + ")"
			s.failure("2 06:00")
			s.watchAt(10)
			s.noticed(want)
			s.watchAt(300)
			s.noticed(want)
			s.secret("/webhook/ops", webhookURL)
			s.watchAt(310)
			s.noticed("webhook/ops failed sent 1")
			s.receive("webhook/ops", reply{status: 200})

			// A run that nobody hears of for a day is in the status.
			s.exec(t, s.owner, `delete from vault.secrets where name = $1`, s.backup+"/webhook/ops")
			s.failure("3 06:00")
			s.watch("3 06:10")
			s.watch("4 06:20")
			lines := s.notices()
			if last := lines[len(lines)-1]; !strings.HasPrefix(lines[1], `webhook/ops failed not_delivered 0 (the vault secret "`) {
				t.Errorf("after a day: %s, %v", last, lines)
			}
			s.unspoken()
		})
	}

	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	signed := webhook("generic")
	signed["signed"] = true
	s.heard(installed, "", map[string]map[string]any{"ops": signed})
	s.watch("1 12:10")
	s.secret("/webhook-secret/ops", "whsec_s3cr3t")
	s.failure("2 06:00")
	s.watchAt(10)
	s.noticed(`webhook/ops failed waiting 0 (the vault secret "` + s.backup + `/webhook-secret/ops" has no signing secret)`)
}

// testNoticeEnrolment proves that a channel is told of nothing that happened before it was
// set, of each incident once, and of the end only of what it was told of; and that what
// waits for a channel which was removed is given up.
func (tdb *testDatabase) testNoticeEnrolment(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.change(installed, alertSetting("overdue_after_seconds", 0))
	s.watch("1 12:10")
	s.failure("2 06:00")
	s.watchAt(10)
	s.heard("2 06:15", "healthchecks", map[string]map[string]any{"ops": webhook("slack"), "ends": webhook("slack", "recovered"), "late": webhook("slack", "overdue", "recovered")})
	s.watchAt(20)
	s.noticed()
	s.failure("3 06:00")
	s.watch("3 06:10")
	s.noticed("heartbeat start sent 1", "heartbeat fail waiting 0", "webhook/ops failed sent 1")
	s.watch("3 06:11")
	s.receive("webhook/ops", reply{status: 200})

	// The incident before is over, too; only who hears nothing but ends is told.
	s.receive("heartbeat", reply{status: 200})
	run := s.dispatch("4 06:00")
	s.receive("heartbeat", reply{status: 200})
	s.accept(run)
	s.succeed(run)
	s.watch("4 06:10")
	lines := s.notices()
	slices.Sort(lines)
	if got := strings.Join(lines, "\n"); strings.Count(got, "recovered") != 3 || strings.Count(got, "webhook/ends recovered") != 2 || strings.Count(got, "webhook/ops recovered") != 1 {
		t.Errorf("the ends are told as\n%s", got)
	}

	// What is on its way when its channel is removed is not repeated.
	s.receive("webhook/ops", reply{status: 500})
	s.heard("4 06:15", "", nil)
	s.exec(t, s.admin, `delete from net.http_request_queue where headers ? 'webhook-id'`)
	s.watch("4 06:20")
	s.failure("5 06:00")
	s.watch("5 06:10")
	for _, line := range s.notices() {
		if strings.Contains(line, " waiting ") {
			t.Errorf("%s, although the channel was removed", line)
		}
	}
	if sent := s.outbox(); len(sent) > 0 {
		t.Errorf("the removed channels get %v", sent)
	}
	if n := one[int](t, s.owner, `select count(*) from auto_backup.channels where backup = $1`, s.backup); n != 0 {
		t.Errorf("%d channels are left", n)
	}
}

// testNoticeIncidents proves that an incident of each kind is told, whether or not there are
// e-mails, and that the removal of a destination is not told as a success.
func (tdb *testDatabase) testNoticeIncidents(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, alertSetting("enabled", false))
	s.heard(installed, "", map[string]map[string]any{"ops": webhook("generic"), "drills": webhook("teams", "drill")})
	s.watch("1 12:10")
	s.exec(t, s.owner, `
		insert into auto_backup.incidents (backup, kind, destination, due_at, code, opened_at, alert_state)
		values ($1, 'drill', null, $2, 'drill_unique', $2, 'off'), ($1, 'offsite', 'r2', $2, 'offsite_denied', $2, 'off')`, s.backup, moment(t, "1 12:15"))
	s.watch("1 12:20")
	s.noticed("webhook/drills drill sent 1", "webhook/ops drill sent 1", "webhook/ops offsite sent 1")
	s.receive("webhook/ops", reply{status: 200})
	s.receive("webhook/drills", reply{status: 200})
	s.exec(t, s.owner, `select auto_backup.drill_incident($1, 'successful', null, null, $2)`, s.backup, moment(t, "1 12:25"))
	s.watch("1 12:30")
	s.noticed("webhook/drills drill delivered 1 200", "webhook/ops drill delivered 1 200", "webhook/ops offsite delivered 1 200", "webhook/ops recovered sent 1")
	if sent := s.outbox(); len(sent) != 1 || !strings.Contains(*sent[0].Body, `"kind": "drill"`) {
		t.Errorf("the end is told as %+v", sent)
	}
	if over := one[bool](t, s.owner, `select recovered_at is not null from auto_backup.incidents where backup = $1 and kind = 'offsite'`, s.backup); !over {
		t.Error("the incident of the removed destination is not over")
	}
}

// testNoticeForms proves that a failure which waits is not told to a heartbeat that has
// become a plain one, for which every ping is a success, and that a time which a wrong clock
// has left keeps no message waiting.
func (tdb *testDatabase) testNoticeForms(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.heard(installed, "healthchecks", nil)
	s.watch("1 12:10")
	s.failure("2 06:00")
	s.receive("heartbeat", reply{status: 200})
	s.watchAt(10)
	s.receive("heartbeat", reply{status: 500})
	s.heard("2 06:15", "plain", nil)
	s.watchAt(20)
	s.noticed("heartbeat start delivered 1 200", "heartbeat fail superseded 1 500 (the settings do not ask for it any more)")
	if sent := s.outbox(); len(sent) > 0 {
		t.Errorf("a plain heartbeat gets %v", sent)
	}
	s.heard("2 06:25", "healthchecks", nil)
	s.failure("3 06:00")
	s.receive("heartbeat", reply{status: 200})
	s.exec(t, s.admin, `update vault.secrets set name = name || '-' where name = $1 || '/heartbeat'`, s.backup)
	s.watch("3 06:10")
	s.exec(t, s.admin, `update auto_backup.notices set next_at = '2036-01-01' where backup = $1`, s.backup)
	s.secret("/heartbeat", heartbeatURL)
	s.watch("3 06:20")
	lines := s.notices()
	if last := lines[len(lines)-1]; last != "heartbeat fail sent 1" {
		t.Errorf("after a wrong clock: %s", last)
	}
}

// testNoticeFidelity proves that a loss is told once, and again when there is another one.
func (tdb *testDatabase) testNoticeFidelity(t *testing.T) {
	s := tdb.newScenario(t)
	s.heard(installed, "", map[string]map[string]any{"ops": webhook("slack", "fidelity")})
	s.watch("1 12:10")
	drill := func(at string, columns ...string) {
		lost := []map[string]any{}
		for _, name := range columns {
			lost = append(lost, map[string]any{"name": name, "rows": 2})
		}
		s.exec(t, s.owner, `
			insert into auto_backup.drills (backup, trigger, state, due_at, started_at, finished_at, tables)
			values ($1, 'schedule', 'successful', $2, $2, $2, $3)`, s.backup, moment(t, at),
			[]map[string]any{{"table": "public.articles", "compared": 4, "columns_lost": lost, "rows_missing": 0}})
		s.watch(at)
	}
	for i, c := range []struct {
		columns []string
		told    int
	}{
		{nil, 0}, {[]string{"likes"}, 1}, {[]string{"likes"}, 1}, {[]string{"likes", "parent"}, 2}, {[]string{"parent"}, 2}, {nil, 2}, {[]string{"parent"}, 3},
	} {
		drill(fmt.Sprintf("%d 07:30", 2+i), c.columns...)
		if got := len(s.notices()); got != c.told {
			t.Errorf("after drill %d, %v: %d messages, want %d", i, c.columns, got, c.told)
		}
	}
}

// testNoticeBroken proves that nothing about a heartbeat can stop a run: neither its
// secret, nor its ledger, nor the code of others on pg_net's queue, which could show the
// URL in its error.
func (tdb *testDatabase) testNoticeBroken(t *testing.T) {
	for name, c := range map[string]struct {
		spoil, mend, want string
	}{
		"the ledger is gone": {`alter table auto_backup.notices rename to notes`, `alter table auto_backup.notes rename to notices`, ""},
		"the queue refuses it": {
			`create function public.refuse() returns trigger language plpgsql as $$ begin
				if new.headers ? 'webhook-id' then raise exception 'no %', new.url; end if;
				return new;
			end $$;
			create trigger refuse before insert on net.http_request_queue for each row execute function public.refuse()`,
			`drop function public.refuse() cascade`, "heartbeat start waiting 0 (the request cannot be made (P0001))",
		},
		"an assertion": {
			`create function public.refuse() returns trigger language plpgsql as $$ begin
				assert not new.headers ? 'webhook-id', new.url;
				return new;
			end $$;
			create trigger refuse before insert on net.http_request_queue for each row execute function public.refuse()`,
			`drop function public.refuse() cascade`, "heartbeat start waiting 0 (the request cannot be made (P0004))",
		},
		"the vault cannot decrypt": {
			`update vault.secrets set secret = encode('\x00', 'base64') where name like '%/heartbeat'`, `select`, `heartbeat start waiting 0 (the vault secret "BACKUP/heartbeat" is damaged)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := tdb.newScenario(t)
			s.heard(installed, "healthchecks", nil)
			s.watch("1 12:10")
			s.exec(t, s.admin, c.spoil)
			run := s.dispatch("2 06:00")
			s.exec(t, s.admin, c.mend)
			if run == "" {
				t.Fatal("there is no run")
			}
			want := []string{strings.ReplaceAll(c.want, "BACKUP", s.backup)}
			if c.want == "" {
				want = nil
			}
			s.noticed(want...)
			s.accept(run)
			s.succeed(run)
			s.watch("2 06:10")
			if state := one[string](t, s.owner, `select state from auto_backup.runs where run_id = $1::uuid`, run); state != "succeeded" {
				t.Errorf("the run is %s", state)
			}
			s.unspoken()
		})
	}
}

// testNoticeOrder proves that of the pings of a heartbeat only one is on its way, that a
// newer outcome takes the place of an older ping which waits, and that the end of an
// incident is told after its beginning.
func (tdb *testDatabase) testNoticeOrder(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.heard(installed, "healthchecks", map[string]map[string]any{"ops": webhook("slack")})
	s.watch("1 12:10")
	s.failure("2 06:00")
	s.receive("heartbeat", reply{status: 500})
	s.watchAt(10)
	s.noticed("heartbeat start superseded 1 500 (HTTP 500)", "heartbeat fail sent 1", "webhook/ops failed sent 1")
	s.receive("heartbeat", reply{status: 500})
	s.receive("webhook/ops", reply{status: 500})
	run := s.start("2 06:15", false)
	s.accept(run)
	s.succeed(run)
	s.watchAt(20)
	s.noticed(
		"heartbeat start superseded 1 500 (HTTP 500)", "heartbeat fail superseded 1 500 (HTTP 500)", "webhook/ops failed sent 2 500 (HTTP 500)",
		"heartbeat start sent 1", "heartbeat success waiting 0", "webhook/ops recovered waiting 0",
	)
	s.receive("heartbeat", reply{status: 200})
	s.receive("webhook/ops", reply{status: 200})
	s.watchAt(30)
	s.noticed(
		"heartbeat start superseded 1 500 (HTTP 500)", "heartbeat fail superseded 1 500 (HTTP 500)", "webhook/ops failed delivered 2 200",
		"heartbeat start delivered 1 200", "heartbeat success sent 1", "webhook/ops recovered sent 1",
	)
}

// testChannelDigests proves that a plan can compare every secret of a channel, knows which
// is missing or unreadable, and gets no digest of another secret.
func (tdb *testDatabase) testChannelDigests(t *testing.T) {
	s := tdb.newScenario(t)
	signed := webhook("generic")
	signed["signed"] = true
	digests := func() string {
		return strings.ReplaceAll(one[string](t, s.owner, `
			select coalesce(string_agg(substr(d.key, length($1) + 1) || ' ' || coalesce(left(d.value, 8), 'null'), ', ' order by d.key), '')
			from jsonb_each_text(auto_backup.channel_digests($1)) d`, s.backup), s.backup, "")
	}
	s.secret("/webhook/other", "s3cr3t")
	if got := digests(); got != "" {
		t.Errorf("without channels: %s", got)
	}
	s.heard(installed, "plain", map[string]map[string]any{"ops": signed, "team": webhook("slack")})
	of := func(text string) string {
		return one[string](t, s.owner, `select left(encode(sha256(convert_to($1, 'UTF8')), 'hex'), 8)`, text)
	}
	if got, want := digests(), fmt.Sprintf("/heartbeat %s, /webhook-secret/ops %s, /webhook/ops %s, /webhook/team %s", of(heartbeatURL), of(signingSecret), of(webhookURL), of(webhookURL)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.exec(t, s.admin, `update vault.secrets set secret = encode('\x00', 'base64') where name = $1 || '/heartbeat'`, s.backup)
	s.exec(t, s.admin, `delete from vault.secrets where name = $1 || '/webhook/team'`, s.backup)
	if got, want := digests(), fmt.Sprintf("/heartbeat null, /webhook-secret/ops %s, /webhook/ops %s, /webhook/team null", of(signingSecret), of(webhookURL)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := one[string](t, s.owner, `select auto_backup.channel_digests('nobody')::text`); got != "{}" {
		t.Errorf("of no backup: %s", got)
	}
}

// testNoticePruning proves that old messages are removed, and with a backup all of its own.
func (tdb *testDatabase) testNoticePruning(t *testing.T) {
	s := tdb.newScenario(t)
	s.heard(installed, "plain", nil)
	s.exec(t, s.owner, `
		insert into auto_backup.notices (backup, channel, event, run_id, happened_at, state, next_at, finished_at)
		select $1, 'heartbeat', 'success', gen_random_uuid(), at, 'delivered', at, at
		from unnest(array[$2::timestamptz - interval '401 days', $2::timestamptz - interval '399 days']) as at`, s.backup, moment(t, "20 00:00"))
	s.watch("20 00:00")
	s.noticed("heartbeat success delivered 0")
	s.exec(t, s.owner, `delete from auto_backup.settings where backup = $1`, s.backup)
	s.noticed()
}
