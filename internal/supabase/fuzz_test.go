package supabase

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/supabase/redact"
	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Whatever a server says of a failure, in whatever form, the error is one
// printable line of bounded length without the token, and never a success.
func FuzzFailure(f *testing.F) {
	f.Add(400, []byte(`{"message":"no `+testToken+`"}`))
	f.Add(400, []byte(`{"message":"Failed to run sql query: ERROR:  42P01: relation \"x\" does not exist\nLINE 1: select\nDETAIL:  a\nCONTEXT:  b"}`))
	f.Add(400, []byte("ERROR:  00000: "))
	f.Add(502, []byte("<html><title>\x1b[2J</title>"))
	f.Add(403, []byte(`{"error":{"message":["a",{"b":"\u202e"}]}}`))
	f.Add(429, []byte{0xff, 0xfe, 0})
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		status = 300 + (status%300+300)%300
		for _, sql := range []bool{false, true} {
			e := &Error{Op: "try", Resource: "something"}
			e.explain(status, body, sql, "permission", redact.New(testToken).Redact)
			shown := e.Error()
			if text.Line(shown) != shown || len(shown) > 5*longestMessage || strings.Contains(shown, testToken) {
				t.Errorf("bad text %q", shown)
			}
			for _, part := range []string{e.Message, e.Detail, e.Hint, e.Where, e.SQLState, e.EventID} {
				if text.Line(part) != part {
					t.Errorf("bad part %q", part)
				}
			}
		}
	})
}

// Whatever succeeds is either of the documented form or errUnexpectedResponse, and
// nothing makes the client stop.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`[{"id":"1","slug":"f","name":"n","status":"ACTIVE","version":1,"created_at":1,"updated_at":2,"verify_jwt":null}]`))
	f.Add([]byte(`[{"name":"A","value":"` + strings.Repeat("0", 64) + `"}]`))
	f.Add([]byte(`[[[[{"id":{}}]]]]`))
	f.Add([]byte(`{"id":"1","slug":"f"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := New(Config{Token: testToken, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		_, functions := c.ListFunctions(t.Context(), testRef)
		_, function := c.GetFunction(t.Context(), testRef, "f")
		_, keys := c.APIKeys(t.Context(), testRef)
		_, project := c.Project(t.Context(), testRef)
		_, rows := c.Query(t.Context(), testRef, QueryRequest{SQL: "select 1", ReadOnly: true})
		secrets, listed := c.ListSecrets(t.Context(), testRef)
		for _, err := range []error{functions, function, keys, project, rows, listed} {
			if err != nil && (!errors.Is(err, errUnexpectedResponse) || text.Line(err.Error()) != err.Error()) {
				t.Errorf("got %v", err)
			}
		}
		for _, s := range secrets {
			if s.Digest != "" && !digestPattern().MatchString(s.Digest) {
				t.Errorf("digest %q", s.Digest)
			}
		}
	})
}
