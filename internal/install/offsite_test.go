package install

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
	"github.com/aimindset/terraform-provider-aimindset/internal/install/queries"
	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

// TestDestinationProblems proves what is said of the answers to a probe of a destination:
// which check has failed, why, and what to do; a warning where copies can be made
// nevertheless; and that what did not come from the function is not believed.
func TestDestinationProblems(t *testing.T) {
	t.Parallel()
	status := func(code int) *int { return &code }
	said := codes.Lookup("unauthorized", "")
	for what, c := range map[string]struct {
		answer httpAnswer
		want   []DestinationProblem
	}{
		"success": {httpAnswer{Status: status(200), Ours: true, Signed: true, Content: `{"success":true,"checks":{"database":{"ok":true},"put":{"ok":true}}}`}, nil},
		"success with a warning": {
			httpAnswer{Status: status(200), Ours: true, Signed: true, Content: `{"success":true,"checks":{"delete_refused":{"ok":true,"code":"unauthorized","warning":"they can delete copies"}}}`},
			[]DestinationProblem{{Message: "they can delete copies", Remedy: said.Remedy, Warning: true}},
		},
		"two failures, in order": {
			httpAnswer{Status: status(500), Ours: true, Content: `{"success":false,"code":"probe_failed","checks":{"lock":{"ok":false,"error":"it has none."},"put":{"ok":false,"code":"unauthorized","error":"HTTP 403"},"read":{"ok":true}}}`},
			[]DestinationProblem{
				{Message: "no object can be stored: " + said.Clause() + " (unauthorized: HTTP 403)", Remedy: said.Remedy},
				{Message: "the stored object is not locked (it has none)"},
			},
		},
		"a failure and a warning": {
			httpAnswer{Status: status(500), Ours: true, Content: `{"success":false,"code":"probe_failed","checks":{"read":{"ok":true,"warning":"they cannot read"},"delete_refused":{"ok":false}}}`},
			[]DestinationProblem{{Message: "they cannot read", Warning: true}, {Message: "it could not be verified that copies are safe from deletion (no reason given)"}},
		},
	} {
		if got := c.answer.destinationProblems(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", what, got, c.want)
		}
	}
	for what, c := range map[string]struct {
		answer httpAnswer
		says   string
	}{
		"unsigned":                {httpAnswer{Status: status(200), Ours: true, Content: `{"success":true,"checks":{"put":{"ok":true}}}`}, "no valid signature"},
		"not from the function":   {httpAnswer{Status: status(500), Content: `{"success":false,"checks":{"put":{"ok":false,"error":"canary"}}}`}, "HTTP 500"},
		"no database":             {httpAnswer{Status: status(503), Ours: true, Content: `{"success":false,"code":"new","error":"no route to db"}`}, "HTTP 503 new: no route to db"},
		"an older function":       {httpAnswer{Status: status(400), Ours: true, Content: `{"success":false,"code":"bad_request","message":"action is not valid"}`}, "action is not valid"},
		"no answer":               {httpAnswer{Error: "Timeout of 60000 ms reached"}, "did not answer in time"},
		"failed without a reason": {httpAnswer{Status: status(500), Ours: true, Content: `{"success":false,"code":"probe_failed","message":"failed: x","checks":{"x":{"ok":false,"error":"y"}}}`}, "the function runs, but"},
	} {
		got := c.answer.destinationProblems()
		if len(got) != 1 || got[0].Warning || !strings.Contains(got[0].Message, c.says) || strings.Contains(got[0].Message, "canary") {
			t.Errorf("%s: got %+v, want it to say %q", what, got, c.says)
		}
	}
}

// TestVerifyDestination proves that a probe of a destination is asked for by its key, in
// each way to show the project's keys, and that its answer is what was found.
func TestVerifyDestination(t *testing.T) {
	t.Parallel()
	database := &chain{ways: []string{
		`{"answer": {"status": 401, "error_code": "UNAUTHORIZED_NO_AUTH_HEADER"}}`,
		`{"answer": {"status": 200, "content": "{\"success\": true, \"checks\": {\"read\": {\"ok\": true, \"warning\": \"w\"}}}", "ours": true, "signed": true}}`,
	}}
	problems, err := database.service().VerifyDestination(t.Context(), nightly, "r2")
	if want := []DestinationProblem{{Message: "w", Warning: true}}; err != nil || !reflect.DeepEqual(problems, want) {
		t.Errorf("got %+v, %v", problems, err)
	}
	if got := strings.Join(database.log, " "); got != "probe of r2 probe of r2" {
		t.Errorf("it asked for: %s", got)
	}
	if !strings.Contains(queries.OffsiteProbe, "auto_backup.offsite_probe(") {
		t.Error("the query asks for something else")
	}
	database = &chain{response: func(postgres.Access, time.Duration) string { return `{"queued": true, "worker": false}` }}
	if problems, err = database.service().VerifyDestination(t.Context(), nightly, "r2"); !errors.Is(err, ErrNotVerified) || problems != nil {
		t.Errorf("without an answer: %+v, %v", problems, err)
	}
}
