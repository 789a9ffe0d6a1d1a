package payload_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The URLs of these tests, each with a secret by which a leak is found.
const (
	heartbeatURL  = "https://monitor.test/ping/s3cr3t"
	webhookURL    = "https://hooks.test/services/s3cr3t"
	signingSecret = "whsec_c2VjcmV0IHdpdGggMzIgYnl0ZXMgZm9yIHRlc3Rz"
)

// heard gives a backup a heartbeat and webhooks at a time, with their secrets. A form is
// that of the heartbeat; an empty one is none.
func (s *scenario) heard(at, form string, webhooks map[string]map[string]any) {
	s.Helper()
	s.change(at, func(document map[string]any) {
		delete(document, "heartbeat")
		if form != "" {
			document["heartbeat"] = map[string]any{"form": form, "language": "en"}
			s.secret("/heartbeat", heartbeatURL)
		}
		document["webhooks"] = webhooks
		for key := range webhooks {
			s.secret("/webhook/"+key, webhookURL)
			s.secret("/webhook-secret/"+key, signingSecret)
		}
	})
}

// secret puts a secret of the backup into the vault.
func (s *scenario) secret(name, value string) {
	s.Helper()
	s.exec(s.T, s.owner, `delete from vault.secrets where name = $1`, s.backup+name)
	s.exec(s.T, s.owner, `select vault.create_secret($1, $2, 'managed')`, value, s.backup+name)
}

// webhook is one in the settings.
func webhook(form string, events ...string) map[string]any {
	if len(events) == 0 {
		events = []string{"drill", "failed", "fidelity", "offsite", "overdue", "recovered"}
	}
	return map[string]any{"form": form, "events": events, "language": "en", "signed": false}
}

// notices are the messages of a backup, a line for each:
//
//	<channel> <event> <state> <attempts> [HTTP status] [(error)]
func (s *scenario) notices() []string {
	s.Helper()
	return column[string](s.T, s.owner, `
		select concat_ws(' ', channel, event, state, attempts, http_status, '(' || error || ')')
		from auto_backup.notices where backup = $1 order by notice_id`, s.backup)
}

// noticed compares the messages.
func (s *scenario) noticed(lines ...string) {
	s.Helper()
	if got := s.notices(); !slices.Equal(got, lines) {
		s.Errorf("the messages are\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

// queuedRequest is a request that waits in pg_net's queue.
type queuedRequest struct {
	Method, URL string
	Headers     map[string]string
	Body        *string
	Timeout     int
}

// outbox are the messages of a backup that wait in pg_net's queue.
func (s *scenario) outbox() []queuedRequest {
	s.Helper()
	requests, err := pgx.CollectRows(query(s.T, s.admin, `
		select q.method::text, q.url, q.headers, convert_from(q.body, 'UTF8'), q.timeout_milliseconds
		from net.http_request_queue q
		inner join auto_backup.notices n on n.message_id::text = q.headers ->> 'webhook-id'
		where n.backup = $1 order by q.id`, s.backup), pgx.RowToStructByPos[queuedRequest])
	if err != nil {
		s.Fatal(err)
	}
	return requests
}

// receive answers the messages of a channel that were sent.
func (s *scenario) receive(channel string, r reply) {
	s.Helper()
	sent, err := pgx.CollectRows(query(s.T, s.owner, `
		select request_id, posted_at from auto_backup.notices where backup = $1 and channel = $2 and state = 'sent'`, s.backup, channel),
		pgx.RowToStructByPos[struct {
			ID     int64
			Posted time.Time
		}])
	if err != nil || len(sent) == 0 {
		s.Fatalf("%d messages were sent to %s: %v", len(sent), channel, err)
	}
	for _, request := range sent {
		s.answer(request.ID, request.Posted, r)
	}
}

// failure is a run that fails at once and for good.
func (s *scenario) failure(at string) string {
	s.Helper()
	run := s.dispatch(at)
	s.respond(run, reply{status: 500, body: "no"})
	return run
}

// TestNotices proves what the heartbeat and the webhooks are told, and when.
func TestNotices(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	t.Run("heartbeat", tdb.testHeartbeat)
	t.Run("webhooks", tdb.testWebhooks)
	t.Run("signature", tdb.testWebhookSignature)
	t.Run("answers", tdb.testNoticeAnswers)
	t.Run("lost", tdb.testNoticeLost)
	t.Run("unreadable", tdb.testNoticeUnreadable)
	t.Run("secrets", tdb.testNoticeSecrets)
	t.Run("enrolment", tdb.testNoticeEnrolment)
	t.Run("incidents", tdb.testNoticeIncidents)
	t.Run("forms", tdb.testNoticeForms)
	t.Run("fidelity", tdb.testNoticeFidelity)
	t.Run("order", tdb.testNoticeOrder)
	t.Run("broken", tdb.testNoticeBroken)
	t.Run("digests", tdb.testChannelDigests)
	t.Run("pruning", tdb.testNoticePruning)
	t.Run("contents", tdb.testNoticeContents)
	t.Run("foreign texts", tdb.testNoticeForeignTexts)
}

// testHeartbeat proves that a monitor is told of the start with the run's request, and of
// the success or the failure when it is proven and the start is not on its way any more;
// each in the way of its form.
func (tdb *testDatabase) testHeartbeat(t *testing.T) {
	t.Run("a good night", func(t *testing.T) {
		s := tdb.newScenario(t)
		s.heard(installed, "healthchecks", nil)
		s.watch("1 12:10")
		run := s.dispatch("2 06:00")
		s.noticed("heartbeat start sent 1")
		sent := s.outbox()
		if len(sent) != 1 || sent[0].Method != http.MethodPost || sent[0].URL != heartbeatURL+"/start?rid="+run || sent[0].Timeout != 5000 {
			t.Fatalf("the start is told as %+v", sent)
		}
		s.accept(run)
		s.succeed(run)
		s.watch("2 06:10")
		s.noticed("heartbeat start sent 1", "heartbeat success waiting 0")
		s.receive("heartbeat", reply{status: 200, body: "OK"})
		s.watch("2 06:20")
		s.noticed("heartbeat start delivered 1 200", "heartbeat success sent 1")
		sent = s.outbox()
		if len(sent) != 1 || sent[0].URL != heartbeatURL+"?rid="+run || *sent[0].Body != `"The backup `+s.backup+` was made. 321 records, ID `+backupID+`."` {
			t.Errorf("the success is told as %+v", sent)
		}
		s.receive("heartbeat", reply{status: 204})
		s.watch("2 06:30")
		s.noticed("heartbeat start delivered 1 200", "heartbeat success delivered 1 204")
		s.watch("2 06:40")
		s.noticed("heartbeat start delivered 1 200", "heartbeat success delivered 1 204")
	})

	t.Run("a bad night", func(t *testing.T) {
		s := tdb.newScenario(t)
		s.heard(installed, "healthchecks", nil)
		s.watch("1 12:10")
		run := s.failure("2 06:00")
		s.receive("heartbeat", reply{status: 200})
		s.watch("2 06:10") // the retry
		again := s.latest()
		s.noticed("heartbeat start delivered 1 200", "heartbeat start sent 1")
		if sent := s.outbox(); len(sent) != 1 || sent[0].URL != heartbeatURL+"/start?rid="+run {
			t.Errorf("the second attempt is told as %+v", sent)
		}
		s.receive("heartbeat", reply{status: 200})
		s.respond(again, reply{status: 500, body: "no"})
		s.watch("2 06:20")
		s.noticed("heartbeat start delivered 1 200", "heartbeat start delivered 1 200", "heartbeat fail sent 1")
		sent := s.outbox()
		if len(sent) != 1 || sent[0].URL != heartbeatURL+"/fail?rid="+run || !strings.Contains(*sent[0].Body, "The backup "+s.backup+" failed. Schedule daily, attempt 2, due 2026-03-02 03:00 (America/Sao_Paulo).") {
			t.Errorf("the failure is told as %+v", sent)
		}
	})

	for form, want := range map[string][3]string{
		"healthchecks": {"POST " + heartbeatURL + "/start?rid=ID", "POST " + heartbeatURL + "?rid=ID", "POST " + heartbeatURL + "/fail?rid=ID"},
		"sentry":       {"GET " + heartbeatURL + "?status=in_progress&check_in_id=ID", "GET " + heartbeatURL + "?status=ok&check_in_id=ID", "GET " + heartbeatURL + "?status=error&check_in_id=ID"},
		"cronitor":     {"GET " + heartbeatURL + "?state=run&series=ID&message=TEXT", "GET " + heartbeatURL + "?state=complete&series=ID&message=TEXT", "GET " + heartbeatURL + "?state=fail&series=ID&message=TEXT"},
		"plain":        {"", "GET " + heartbeatURL, ""},
	} {
		t.Run(form, func(t *testing.T) {
			for i, event := range []string{"start", "success", "fail"} {
				s := tdb.newScenario(t)
				s.heard(installed, form, nil)
				s.change(installed, retrySetting("attempts", 0))
				s.watch("1 12:10")
				run := s.dispatch("2 06:00")
				if event != "start" {
					if form != "plain" {
						s.receive("heartbeat", reply{status: 200})
					}
					if event == "success" {
						s.accept(run)
						s.succeed(run)
					} else {
						s.respond(run, reply{status: 500})
					}
					s.watch("2 06:10")
				}
				got := ""
				for _, sent := range s.outbox() {
					url, text, found := strings.Cut(sent.URL, "&message=")
					if found {
						url += "&message=TEXT"
					}
					if strings.ContainsAny(text, " &<") {
						t.Errorf("%s: the text is not encoded: %s", event, text)
					}
					got += sent.Method + " " + strings.ReplaceAll(url, run, "ID")
				}
				if got != want[i] {
					t.Errorf("%s: got %s, want %s", event, got, want[i])
				}
			}
		})
	}
}

// testWebhooks proves that each incident and its end are told once to each webhook that
// wants to hear of it, and that an attempt which is not answered with a 2xx is repeated.
func (tdb *testDatabase) testWebhooks(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	s.heard(installed, "", map[string]map[string]any{"ops": webhook("slack"), "late": webhook("discord", "overdue")})
	s.watch("1 12:10")
	s.failure("2 06:00")
	s.watch("2 06:10")
	s.noticed("webhook/ops failed sent 1")
	s.receive("webhook/ops", reply{status: 500, body: "s3cr3t"})
	s.watch("2 06:20")
	s.noticed("webhook/ops failed sent 2 500 (HTTP 500)")
	s.receive("webhook/ops", reply{status: 200, body: "ok"})
	s.watch("2 06:30")
	s.noticed("webhook/ops failed delivered 2 200")
	run := s.dispatch("3 06:00")
	s.accept(run)
	s.succeed(run)
	s.watch("3 06:10")
	s.noticed("webhook/ops failed delivered 2 200", "webhook/ops recovered sent 1")
}

// testWebhookSignature proves that a signed message verifies as Standard Webhooks says, by
// a computation of its own over the bytes that are sent, and that a message which is sent
// again keeps its ID and is signed again.
func (tdb *testDatabase) testWebhookSignature(t *testing.T) {
	s := tdb.newScenario(t)
	s.change(installed, retrySetting("attempts", 0))
	signed := webhook("generic")
	signed["signed"] = true
	s.heard(installed, "", map[string]map[string]any{"ops": signed})
	s.watch("1 12:10")
	s.failure("2 06:00")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signingSecret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, at := range []string{"2 06:10", "2 06:20"} {
		s.watch(at)
		sent := s.outbox()
		if len(sent) != 1 {
			t.Fatalf("%d messages were sent", len(sent))
		}
		id, stamp := sent[0].Headers["webhook-id"], sent[0].Headers["webhook-timestamp"]
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, stamp, *sent[0].Body)
		if got, want := sent[0].Headers["webhook-signature"], "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("the signature is %s, want %s", got, want)
		}
		var seconds int64
		if err := json.Unmarshal([]byte(stamp), &seconds); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Hour {
			t.Errorf("the timestamp is %s", stamp)
		}
		ids = append(ids, id)
		s.receive("webhook/ops", reply{status: 503})
	}
	if ids[0] != ids[1] {
		t.Errorf("the IDs of two attempts are %v", ids)
	}
}
