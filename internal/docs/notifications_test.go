package docs_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// pagerSecret is the signing secret of the example's pager.
const pagerSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver is the monitor, the chat and the pager of the example, at a path each, with a
// part of the URL that nobody else may know.
type receiver struct {
	*httptest.Server

	mu sync.Mutex
	// heard are the requests to the monitor, chat and pages the bodies that the others got.
	heard, chat, pages []string
	// unsigned counts the messages to the pager whose signature is not right.
	unsigned int
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch path, _ := strings.CutPrefix(request.URL.Path, "/canary-"); {
	case strings.HasPrefix(path, "monitor"):
		r.heard = append(r.heard, strings.TrimPrefix(request.URL.RequestURI(), "/canary-monitor"))
	case path == "chat":
		r.chat = append(r.chat, string(body))
	case path == "pager":
		r.pages = append(r.pages, string(body))
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pagerSecret, "whsec_"))
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(request.Header.Get("Webhook-Id") + "." + request.Header.Get("Webhook-Timestamp") + "." + string(body)))
		if err != nil || request.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			r.unsigned++
		}
	}
}

// notifications is the example of notifications, with a receiver at its addresses. It
// proves that the monitor hears of a run when it begins and ends, that the chat and the
// pager get one message about a failure and one about its end, the pager's signed with the
// secret of the configuration, and that Terraform keeps no address and no secret.
func notifications() module {
	r := &receiver{}
	prepare := func(t *testing.T, _ *user, _ ...*stack.Stack) []string {
		t.Helper()
		r.Server = httptest.NewServer(r)
		t.Cleanup(r.Close)
		return []string{
			"TF_VAR_heartbeat_url=" + r.URL + "/canary-monitor", "TF_VAR_slack_url=" + r.URL + "/canary-chat",
			"TF_VAR_pager_url=" + r.URL + "/canary-pager", "TF_VAR_pager_secret=" + pagerSecret,
		}
	}
	check := func(t *testing.T, u *user, s *stack.Stack) {
		t.Helper()
		delivered := func(channel, event string) {
			t.Helper()
			await(t, s, "select exists (select from auto_backup.notices where channel = '"+channel+"' and event = '"+event+"' and state = 'delivered')", "auto_backup.watch('auto-backup')")
		}
		first := backUp(t, s, "succeeded")
		delivered("heartbeat", "success")

		exec(t, s, "alter table public.feedbacks rename to feedbacks_old")
		last := value(t, s, "select auto_backup.start('auto-backup', 'daily', 'manual', now(), 2, true)")
		for _, channel := range []string{"webhook/team", "webhook/pager"} {
			delivered(channel, "failed")
		}
		delivered("heartbeat", "fail")
		exec(t, s, "alter table public.feedbacks_old rename to feedbacks")
		again := backUp(t, s, "succeeded")
		for _, channel := range []string{"webhook/team", "webhook/pager"} {
			delivered(channel, "recovered")
		}

		r.mu.Lock()
		defer r.mu.Unlock()
		for _, want := range []string{"/start?rid=" + first, "?rid=" + first, "/start?rid=" + last, "/fail?rid=" + last, "/start?rid=" + again} {
			if !slices.Contains(r.heard, want) {
				t.Errorf("the monitor has not heard %s, only %s", want, strings.Join(r.heard, ", "))
			}
		}
		if len(r.chat) != 2 || !strings.Contains(r.chat[0], "feedbacks") {
			t.Errorf("the chat got\n%s", strings.Join(r.chat, "\n"))
		}
		if len(r.pages) != 2 || r.unsigned > 0 || !strings.Contains(r.pages[0], `"backup.failed"`) || !strings.Contains(r.pages[1], `"backup.recovered"`) {
			t.Errorf("the pager got, %d of them without the right signature,\n%s", r.unsigned, strings.Join(r.pages, "\n"))
		}
		for _, secret := range []string{"canary-", pagerSecret} {
			if strings.Contains(u.run(0, "cat terraform.tfstate"), secret) {
				t.Errorf("the state has %s", secret)
			}
		}
	}
	return module{prepare: prepare, check: check}
}
