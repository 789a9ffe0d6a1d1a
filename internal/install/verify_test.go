package install

import (
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
)

// TestAnswerFailure proves what is said of answers that no test's project gives
// at will: each names the cause and quotes the other side.
func TestAnswerFailure(t *testing.T) {
	t.Parallel()
	status := func(code int) *int { return &code }
	for what, c := range map[string]struct {
		answer httpAnswer
		says   []string // none: it is a proof
	}{
		"success":              {httpAnswer{Status: status(200), Content: `{"success":true}`, Ours: true, Signed: true}, nil},
		"unsigned":             {httpAnswer{Status: status(200), Content: `{"success":true}`, Ours: true}, []string{"no valid signature", "source_dir", "net._http_response"}},
		"no reason":            {httpAnswer{}, []string{"did not reach the function", "no reason given"}},
		"timeout":              {httpAnswer{Error: "Timeout of 30000 ms reached. Total time: 30000 ms"}, []string{"did not answer in time", "Timeout of 30000 ms"}},
		"TLS":                  {httpAnswer{Error: "SSL connect error"}, []string{"does not speak TLS", "project_url"}},
		"forbidden":            {httpAnswer{Status: status(403), Content: `{"message":"no"}`}, []string{"the platform refused", "HTTP 403: no"}},
		"idle":                 {httpAnswer{Status: status(504), ErrorCode: "IDLE_TIMEOUT"}, []string{codes.Lookup("http_504", "").Clause(), "HTTP 504 IDLE_TIMEOUT"}},
		"gateway":              {httpAnswer{Status: status(502), Content: "<html>"}, []string{"answered instead of the function", "HTTP 502"}},
		"another backup":       {httpAnswer{Status: status(400), Ours: true, Content: `{"code":"wrong_backup","message":"this function runs the backup x"}`}, []string{"the deployed function belongs to another backup (HTTP 400", "runs the backup x"}},
		"a code of the future": {httpAnswer{Status: status(500), Ours: true, Content: `{"code":"new","error":"unheard of"}`}, []string{"the function reported a failure", "HTTP 500 new: unheard of"}},
		"no key":               {httpAnswer{Status: status(500), Ours: true, Content: `{"code":"probe_failed","checks":{"token":{"ok":true},"key":{"ok":false,"error":"SUPABASE_URL is missing"}}}`}, []string{"lacks a usable key (SUPABASE_URL is missing)"}},
		"odd checks":           {httpAnswer{Status: status(500), Ours: true, Content: `{"code":"probe_failed","message":"failed: key","checks":[]}`}, []string{"failed: key"}},
	} {
		reason := c.answer.failure()
		if (reason == "") != (len(c.says) == 0) {
			t.Errorf("%s: got %q", what, reason)
		}
		for _, text := range c.says {
			if !strings.Contains(reason, text) {
				t.Errorf("%s: %q does not say %q", what, reason, text)
			}
		}
	}
}

// TestUnanswered proves that a request without an answer is explained by where
// it is, not by the time that has passed.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, c := range []struct {
		response response
		says     string
	}{
		{response{Queued: true, Worker: &no}, "worker is not running"},
		{response{Queued: true, Worker: &yes, Ahead: 7}, "7 others wait before it"},
		{response{Queued: true}, "select net.check_worker_is_up()"},
		{response{Worker: &yes}, "neither in pg_net's queue nor among its answers"},
	} {
		if got := c.response.unanswered(42); !strings.Contains(got, c.says) || !strings.Contains(got, "request 42") {
			t.Errorf("%+v: got %q", c.response, got)
		}
	}
}
