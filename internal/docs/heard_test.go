package docs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// monitorGrace is the grace time that the guide recommends.
const monitorGrace = 2 * time.Hour

// message is what a listener got.
type message struct {
	path, rid, body string
	header          http.Header
}

// listener is a machine outside the project, with a monitor that has the rules of
// healthchecks.io, and with the addresses of two webhooks.
type listener struct {
	*httptest.Server
	mu sync.Mutex
	// ahead is how far the monitor's clock is ahead of the real one.
	ahead            time.Duration
	got              []message
	started, success time.Time
	failed           bool
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.got = append(l.got, message{r.URL.Path, r.URL.Query().Get("rid"), string(body), r.Header})
		switch now := time.Now().Add(l.ahead); r.URL.Path {
		case "/ping/start":
			l.started = now
		case "/ping":
			l.success, l.started, l.failed = now, time.Time{}, false
		case "/ping/fail":
			l.started, l.failed = time.Time{}, true
		}
	}))
	t.Cleanup(l.Close)
	return l
}

// state is what the monitor shows: red after a failure, when a run that began has not
// succeeded within the grace time, and when the next success is later than a day and it.
func (l *listener) state() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now().Add(l.ahead)
	switch {
	case l.failed, !l.started.IsZero() && now.Sub(l.started) > monitorGrace, !l.success.IsZero() && now.Sub(l.success) > 24*time.Hour+monitorGrace:
		return "red"
	case l.success.IsZero():
		return "new"
	}
	return "green"
}

// to are the messages to an address, in their order.
func (l *listener) to(path string) (found []message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.got {
		if m.path == path {
			found = append(found, m)
		}
	}
	return found
}

// TestNotificationsGuide proves that a reader who does what the guide says is heard outside
// the project: a listener sees start and success with the run's ID; after a failure, the
// reason; it verifies a signature with the guide's script, which refuses another body; and
// when the whole project has stopped, the monitor turns red without a word from it.
func TestNotificationsGuide(t *testing.T) {
	t.Parallel()
	s, err := stack.Start(t.Context(), stack.Options{Articles: 1})
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop the stack: %v", err)
		}
	})
	t.Cleanup(stop)
	l := listen(t)
	var steps [4][]block // the apply, the look at the database, the status, the signature
	at := 0
	for _, b := range blocksOf(example(t, projectRef, "docs", "guides", "notifications.md")) {
		first, _, _ := strings.Cut(b.text, "\n")
		switch {
		case b.kind == "sql" && at == 0, first == "# status.tf", first == "# verify.sh":
			at++
		}
		steps[at] = append(steps[at], b)
	}
	if at != 3 || len(steps[1]) != 3 {
		t.Fatalf("the guide has %d steps, and %d blocks of SQL", at, len(steps[1]))
	}
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	u := newUser(t, append(s.Environ(), "SUPABASE_DB_URL_FOR_PSQL="+s.DatabaseURL, "TF_VAR_heartbeat_url="+l.URL+"/ping", "TF_VAR_slack_url="+l.URL+"/slack",
		"TF_VAR_pager_url="+l.URL+"/pager", "TF_VAR_pager_secret="+secret)...)
	follow(u, s, steps[0])
	exec(t, s, "select auto_backup.watch('auto-backup')")
	follow(u, s, steps[1][:1])
	arrived := func(channel, event string, times string) {
		t.Helper()
		await(t, s, "select count(*) = "+times+" from auto_backup.notices where channel = '"+channel+"' and event = '"+event+"' and state = 'delivered'", "auto_backup.watch('auto-backup')")
	}
	arrived("heartbeat", "success", "1")
	arrived("heartbeat", "start", "1")
	follow(u, s, steps[1][1:])
	run := value(t, s, "select run_id from auto_backup.runs")
	for _, path := range []string{"/ping/start", "/ping"} {
		if got := l.to(path); len(got) != 1 || got[0].rid != run {
			t.Errorf("of run %s, the monitor got at %s: %+v", run, path, got)
		}
	}
	if got := l.state(); got != "green" {
		t.Errorf("the monitor is %s", got)
	}
	follow(u, s, steps[2])

	exec(t, s, "alter table public.articles rename to elsewhere")
	failed := backUp(t, s, "failed")
	arrived("heartbeat", "fail", "1")
	arrived("webhook/team", "failed", "1")
	arrived("webhook/pager", "failed", "1")
	if got := l.to("/ping/fail"); len(got) != 1 || got[0].rid != failed || !strings.Contains(got[0].body, "does not exist") || l.state() != "red" {
		t.Errorf("of the failure, the monitor got %+v and is %s", got, l.state())
	}
	if got := l.to("/slack"); len(got) != 1 || !strings.Contains(got[0].body, "The backup auto-backup failed") {
		t.Errorf("Slack got %+v", got)
	}
	pager := l.to("/pager")
	if len(pager) != 1 {
		t.Fatalf("the pager got %+v", pager)
	}
	u.write("body.json", pager[0].body)
	for variable, header := range map[string]string{"WEBHOOK_ID": "webhook-id", "WEBHOOK_TIMESTAMP": "webhook-timestamp", "WEBHOOK_SIGNATURE": "webhook-signature"} {
		u.env = append(u.env, variable+"="+pager[0].header.Get(header))
	}
	follow(u, s, steps[3])
	u.write("body.json", strings.Replace(pager[0].body, "backup.failed", "backup.recovered", 1))
	u.run(1, `bash verify.sh "$WEBHOOK_ID" "$WEBHOOK_TIMESTAMP" "$WEBHOOK_SIGNATURE" < body.json`)

	exec(t, s, "alter table public.elsewhere rename to articles")
	backUp(t, s, "succeeded")
	arrived("heartbeat", "success", "2")
	arrived("webhook/pager", "recovered", "1")
	if got := l.state(); got != "green" {
		t.Errorf("after a success, the monitor is %s", got)
	}

	stop()
	l.mu.Lock()
	before := len(l.got)
	l.ahead = 24*time.Hour + monitorGrace + time.Minute
	l.mu.Unlock()
	if got := l.state(); got != "red" {
		t.Errorf("after the whole project has stopped, the monitor is %s", got)
	}
	if l.mu.Lock(); len(l.got) != before {
		t.Errorf("the project that was stopped has said %+v", l.got[before:])
	}
	l.mu.Unlock()
}

// TestMonitorGrace proves that the grace time which the guide recommends is longer than a
// success can take to arrive: a tick that was missed, a run that was silent until it counted
// as failed, the retry, and the watchdog's look at it; and the number that the guide says.
func TestMonitorGrace(t *testing.T) {
	t.Parallel()
	const look = payload.WatchdogInterval
	longest := payload.TickPatience + look + payload.AnswerPatience + payload.RunPatience + look + backup.DefaultRetryDelay + look + payload.RunPatience + look
	if longest != 91*time.Minute || longest >= monitorGrace {
		t.Errorf("a success can take %s", longest)
	}
	if text := example(t, projectRef, "docs", "guides", "notifications.md"); !strings.Contains(text, " 91 minutes after the due time") || !strings.Contains(text, "grace time 2 hours") {
		t.Error("the guide says something else")
	}
}

// TestNotificationsGuideInPortuguese proves that the Portuguese guide has the blocks of the
// English one, which a test runs, but for the language of the messages.
func TestNotificationsGuideInPortuguese(t *testing.T) {
	t.Parallel()
	plain := func(b block) string {
		var lines []string
		for line := range strings.Lines(b.text) {
			if words := strings.Fields(line); len(words) == 0 || words[0] != "language" {
				lines = append(lines, strings.Join(words, " "))
			}
		}
		return b.kind + "\n" + strings.Join(lines, "\n")
	}
	english := map[string]bool{}
	for _, b := range blocksOf(example(t, projectRef, "docs", "guides", "notifications.md")) {
		english[plain(b)] = true
	}
	seen := 0
	for _, b := range blocksOf(example(t, projectRef, "docs", "guides", "notificacoes.md")) {
		if b.kind == "json" {
			continue
		}
		seen++
		if !english[plain(b)] {
			t.Errorf("line %d of notificacoes.md has a block that notifications.md has not:\n%s", b.line, b.text)
		}
	}
	if seen < 8 {
		t.Errorf("notificacoes.md has only %d blocks", seen)
	}
}
