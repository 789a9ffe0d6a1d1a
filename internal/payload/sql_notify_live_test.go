package payload_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/payload"
)

// TestNoticesLive proves with pg_net's worker that a receiver which never answers holds up
// no backup: neither one whose start it is told of, nor one that becomes due while it has
// a message; and that a monitor hears of the start and the success with the run's ID.
func TestNoticesLive(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)
	if err := tdb.stack.StartNetWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, pings := make(chan string, 10), make(chan string, 10)
	over := make(chan struct{})
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			RunID string `json:"run_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		runs <- body.RunID
		w.Header().Set("X-Backup-Function", payload.LoadContract().FunctionVersion)
		w.WriteHeader(http.StatusAccepted)
		_, _ = fmt.Fprintf(w, `{"success": null, "state": "running", "run_id": %q}`, body.RunID)
	}))
	dead := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		pings <- r.URL.String()
		<-over
	}))
	monitor := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { pings <- r.URL.String() }))
	t.Cleanup(func() {
		close(over)
		function.Close()
		dead.Close()
		monitor.Close()
	})
	begin := func(t *testing.T, url string) *scenario {
		s := tdb.newScenario(t)
		s.change(installed, func(document map[string]any) {
			document["function"].(map[string]any)["url"] = function.URL
			retrySetting("attempts", 0)(document)
		})
		s.heard(installed, "healthchecks", map[string]map[string]any{"ops": webhook("slack", "failed", "overdue")})
		s.secret("/heartbeat", url+"/ping")
		s.secret("/webhook/ops", url+"/hook")
		s.watch("1 12:10")
		return s
	}
	// settled returns when no message is on its way any more.
	settled := func(s *scenario) {
		for one[int](s.T, s.admin, `select count(*) from net.http_request_queue`) > 0 {
			one[any](s.T, s.admin, `select pg_sleep(0.05)::text`)
		}
	}

	t.Run("a dead receiver", func(t *testing.T) {
		s := begin(t, dead.URL)
		run := s.dispatch("2 06:00")
		if got := <-pings; got != "/ping/start?rid="+run {
			t.Errorf("the receiver got %s", got)
		}
		// It has not answered, and does not before the end of the test.
		if got := <-runs; got != run {
			t.Errorf("the function was called for %s instead of %s", got, run)
		}
		settled(s)
		s.claim(run)
		s.succeed(run)
		s.watch("2 06:10")
		if state := one[string](t, s.owner, `select state from auto_backup.runs where run_id = $1::uuid`, run); state != "succeeded" {
			t.Errorf("the run is %s", state)
		}
		if got := <-pings; got != "/ping?rid="+run {
			t.Errorf("the receiver got %s", got)
		}
		// The success is on its way when the next backup is due.
		next := s.dispatch("3 06:00")
		if got := <-runs; got != next {
			t.Errorf("the function was called for %s instead of %s", got, next)
		}
		settled(s)
		s.watch("3 06:01")
		lines := strings.Join(s.notices(), "\n")
		if !strings.HasPrefix(lines, "heartbeat start superseded 1 (no answer within 5 seconds)\nheartbeat success ") || !strings.Contains(lines, "heartbeat start waiting 1 (no answer within 5 seconds)") && !strings.Contains(lines, "heartbeat start sent 2") {
			t.Errorf("the messages are\n%s", lines)
		}
	})

	t.Run("a monitor", func(t *testing.T) {
		s := begin(t, monitor.URL)
		run := s.dispatch("2 06:00")
		for got := <-pings; got != "/ping/start?rid="+run; got = <-pings {
			t.Log("passed over", got)
		}
		settled(s)
		s.claim(run)
		s.succeed(run)
		s.watch("2 06:10")
		if got := <-pings; got != "/ping?rid="+run {
			t.Errorf("the monitor got %s", got)
		}
		settled(s)
		s.watch("2 06:20")
		s.noticed("heartbeat start delivered 1 200", "heartbeat success delivered 1 200")
	})
}
