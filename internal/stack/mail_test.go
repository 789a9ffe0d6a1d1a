package stack

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// Proves the contract of the application's alert-processor, which the provider
// and its Edge Function rely on: what it mails, what it answers, and that a 200
// does not mean that something was sent.
func TestAlertProcessor(t *testing.T) {
	s := spare(t)
	sent := len(s.Emails())
	call := func(body string) reply {
		return send(t, http.MethodPost, s.ProjectURL+"/functions/v1/alert-processor", body, "Authorization", "Bearer "+s.ServiceRoleKey)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := s.Admin().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`delete from public.system_logs where type = 'email'`)
	exec(`truncate public.alert_subscriptions; insert into public.alert_subscriptions (email, is_active) values ('a@example.com', true), ('b@example.com', false)`)
	const alert = `{"type":"critical","source":"Falha no Backup Automático","message":"<b>falhou</b>","details":{"run":"1"},"timestamp":"2026-01-02T03:04:05Z"}`
	for _, test := range []struct {
		body   string
		status int
		want   string
	}{
		{alert, 200, `{"message":"Alert processed successfully","emails_sent":2,"emails_failed":0,"total_subscribers":2}`},
		{strings.Replace(alert, "critical", "warning", 1), 200, `{"message":"Alert type not configured for email notifications"}`},
		{`{"type":"critical","source":"","message":"m"}`, 400, `{"error":"Missing required fields: type, source, message"}`},
		{`x`, 500, `{"error":"Internal server error"`},
	} {
		if got := call(test.body); got.status != test.status || !strings.HasPrefix(got.body, test.want) {
			t.Errorf("%s: %d %s", test.body, got.status, got.body)
		}
	}
	mails := s.Emails()[sent:]
	if len(mails) != 2 || mails[0].To == mails[1].To {
		t.Fatalf("mails: %+v", mails)
	}
	for _, mail := range mails {
		if mail.Subject != "🚨 [AIMindset] Alerta CRÍTICO - Falha no Backup Automático" || !strings.Contains(mail.HTML, "<b>falhou</b>") || mail.At.IsZero() {
			t.Errorf("%+v", mail)
		}
	}
	var logged int
	if err := s.Admin().QueryRow(t.Context(), `select count(*) from public.system_logs where type = 'email'`).Scan(&logged); err != nil || logged != 1 {
		t.Errorf("%d log rows, %v", logged, err)
	}
	s.FailEmails(http.StatusUnprocessableEntity)
	if got := call(alert); got.status != 200 || !strings.Contains(got.body, `"emails_sent":0,"emails_failed":2`) {
		t.Errorf("refused mails: %d %s", got.status, got.body)
	}
	s.FailEmails(0)
	exec(`delete from public.alert_subscriptions`)
	if got := call(alert); got.status != 200 || got.body != `{"message":"No alert subscribers found"}` {
		t.Errorf("no subscribers: %d %s", got.status, got.body)
	}
	exec(`alter table public.alert_subscriptions rename to elsewhere`)
	t.Cleanup(func() {
		_, _ = s.Admin().Exec(context.Background(), `alter table public.elsewhere rename to alert_subscriptions`)
	})
	if got := call(alert); got.status != 500 || got.body != `{"error":"Failed to fetch alert subscribers"}` {
		t.Errorf("no table: %d %s", got.status, got.body)
	}
	if n := len(s.Emails()) - sent; n != 2 {
		t.Errorf("%d mails at the end", n)
	}
}

// Proves that the mail service refuses what Resend refuses: a wrong key, a mail
// without recipients, another endpoint.
func TestMailbox(t *testing.T) {
	t.Parallel()
	shared(t).store.mu.Lock()
	url := shared(t).store.secrets["RESEND_API_URL"].value
	shared(t).store.mu.Unlock()
	before := len(shared(t).Emails())
	const mail = `{"from":"a@example.com","to":["mailbox@example.com","x@example.com"],"subject":"s","html":"<p>h</p>"}`
	authorization := "Bearer " + shared(t).keys.resend
	for _, test := range []struct {
		method, path, body, authorization string
		status                            int
	}{
		{"POST", "/emails", mail, "Bearer re_wrong", 401},
		{"POST", "/emails", `{"from":"a@example.com","to":[],"subject":"s"}`, authorization, 422},
		{"POST", "/emails", `x`, authorization, 400},
		{"POST", "/domains", `{}`, authorization, 404},
		{"POST", "/emails", mail, authorization, 200},
		{"POST", "/emails", strings.Replace(mail, `["mailbox@example.com","x@example.com"]`, `"mailbox@example.com"`, 1), authorization, 200},
	} {
		if got := send(t, test.method, url+test.path, test.body, "Authorization", test.authorization); got.status != test.status {
			t.Errorf("%s %s: %d %s", test.path, test.body, got.status, got.body)
		}
	}
	mails := shared(t).Emails()[before:]
	if len(mails) != 2 || mails[0].To != "mailbox@example.com, x@example.com" || mails[1].To != "mailbox@example.com" || mails[0].HTML != "<p>h</p>" {
		t.Errorf("%+v", mails)
	}
}
