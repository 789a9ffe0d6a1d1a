package supabase

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// Every kind of failure is recognisable, names what was tried on what, quotes
// the server and says what to do next.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	kinds := []error{
		ErrNotFound, ErrUnauthorized, ErrForbidden, ErrProjectGone, errQuota, ErrRateLimited,
		ErrOutcomeUnknown, errUnexpectedResponse, errInvalidInput,
	}
	for name, test := range map[string]struct {
		status   int
		body     string
		kind     error
		contains []string
	}{
		"not found":    {404, `{"message":"Function not found"}`, ErrNotFound, []string{"HTTP 404: Function not found"}},
		"no such path": {404, `{"message":"SSO Identity Provider not found"}`, ErrNotFound, nil},
		"gone":         {400, `{"message":"Resource has been removed"}`, ErrProjectGone, []string{"HTTP 400: Resource has been removed", "deleted"}},
		"no project":   {404, `{"message":"Project not found"}`, ErrProjectGone, []string{"project ref"}},
		"token":        {401, `{"message":"JWT could not be decoded"}`, ErrUnauthorized, []string{"HTTP 401: JWT could not be decoded", "personal access token"}},
		"rights": {
			403, `{"message":"Your account does not have the necessary privileges to access this endpoint."}`, ErrForbidden,
			[]string{"privileges", "edge_functions_read"},
		},
		"quota":           {402, `{"message":"Max number of functions reached"}`, errQuota, []string{"Max number of functions reached", "plan"}},
		"event":           {501, `{"message":"Internal Server Error","errorEventId":"c0ffee0123"}`, nil, []string{"Event c0ffee0123"}},
		"wrapped":         {422, `{"error":{"name":"HttpException","message":"wrapped"}}`, nil, []string{"HTTP 422: wrapped"}},
		"several":         {400, `{"message":["slug must be a string","name is too long"]}`, nil, []string{"slug must be a string; name is too long"}},
		"msg":             {400, `{"msg":"Error: x"}`, nil, []string{"HTTP 400: Error: x"}},
		"plain text":      {501, "error code: 502\n", nil, []string{"HTTP 501: error code: 502. "}},
		"page":            {501, "<!DOCTYPE html>\n<html><head><title>522:\n Timed out</title></head>" + strings.Repeat("x", 5000), nil, []string{"HTTP 501: a web page titled 522: Timed out. "}},
		"untitled page":   {501, "<html>secret details</html>", nil, []string{"HTTP 501: a web page. "}},
		"empty":           {400, "", nil, []string{"HTTP 400: Bad Request"}},
		"number":          {400, "17", nil, []string{"HTTP 400: 17"}},
		"null":            {400, "null", nil, []string{"HTTP 400: Bad Request"}},
		"odd message":     {400, `{"message":{"a":[1]}}`, nil, []string{"HTTP 400: Bad Request"}},
		"unknown status":  {599, "", nil, []string{"HTTP 599"}},
		"upstream":        {544, `{"message":"Connection terminated"}`, nil, []string{"HTTP 544: Connection terminated", "paused"}},
		"token in answer": {400, `{"message":"bad token ` + testToken + `"}`, nil, []string{"bad token [redacted]"}},
		"escapes":         {400, `{"message":"a\u001b[2Jb\nc\u202ed"}`, nil, []string{"HTTP 400: a[2Jb cd"}},
		"cut":             {400, `{"message":"` + strings.Repeat("x", 50000) + `"}`, nil, []string{"xxx…"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
				return answer(r, test.status, test.body), nil
			}))
			_, err := c.GetFunction(t.Context(), testRef, "auto-backup")
			if err == nil {
				t.Fatal("no error")
			}
			for _, kind := range kinds {
				if errors.Is(err, kind) != (kind == test.kind) { //nolint:errorlint // two sentinels, neither wrapped
					t.Errorf("is %q: %t", kind, errors.Is(err, kind))
				}
			}
			shown := err.Error()
			for _, want := range append(test.contains, "read the properties of function auto-backup of project "+testRef+": ") {
				if !strings.Contains(shown, want) {
					t.Errorf("%q does not contain %q", shown, want)
				}
			}
			if text.Line(shown) != shown || len(shown) > 2*longestMessage || strings.Contains(shown, testToken) || strings.Contains(shown, "details") {
				t.Errorf("bad text %q", shown)
			}
		})
	}
}

// Answers that succeed but are not what the API promises are errors that quote
// nothing, and never become data.
func TestMalformedAnswers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":         ``,
		"page":          `<html>canary</html>`,
		"cut":           `[{"id":"canary"`,
		"object":        `{"message":"canary"}`,
		"wrong type":    `[{"id":"x","slug":"f","version":"canary"}]`,
		"text":          `"canary"`,
		"trailing text": `[] canary`,
		"huge number":   `[{"id":"x","created_at":1e400}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) { return answer(r, 200, body), nil }))
				functions, err := c.ListFunctions(t.Context(), testRef)
				if !errors.Is(err, errUnexpectedResponse) || functions != nil {
					t.Fatalf("got %v, %v", functions, err)
				}
				if strings.Contains(err.Error(), "canary") {
					t.Errorf("%q quotes the answer", err)
				}
			})
		})
	}
	// An answer about another function or project is not taken for the one
	// that was asked for.
	c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		return answer(r, 200, `{"id":"1","slug":"other","ref":"other","name":"x"}`), nil
	}))
	if _, err := c.GetFunction(t.Context(), testRef, "f"); !errors.Is(err, errUnexpectedResponse) {
		t.Errorf("function: %v", err)
	}
	if _, err := c.Project(t.Context(), testRef); !errors.Is(err, errUnexpectedResponse) {
		t.Errorf("project: %v", err)
	}
}

// Answers beyond the bound are given up while they are read, also when they
// are small on the wire, and are not asked for again; a long failure is cut.
func TestOversizedAnswers(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for range largestSource>>20 + 1 {
		_, _ = zip.Write(chunk)
	}
	_ = zip.Close()
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("Content-Encoding", "gzip")
		if strings.HasSuffix(r.URL.Path, "/secrets") {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write(bomb.Bytes())
	}))
	defer server.Close()
	c, err := New(Config{BaseURL: server.URL, Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for bound, read := range map[string]func() error{
		"4 MiB": func() error { _, err := c.ListFunctions(t.Context(), testRef); return err },
		"16 MiB": func() error {
			_, err := c.Query(t.Context(), testRef, QueryRequest{SQL: "select 1", ReadOnly: true})
			return err
		},
		"64 MiB": func() error { _, err := c.FunctionSource(t.Context(), testRef, "f"); return err },
	} {
		requests = 0
		if err := read(); !errors.Is(err, errUnexpectedResponse) || !strings.Contains(err.Error(), "more than "+bound) {
			t.Errorf("want %s, got %v", bound, err)
		}
		if requests != 1 {
			t.Errorf("%d requests, want 1", requests)
		}
	}
	if _, err := c.ListSecrets(t.Context(), testRef); err == nil || !strings.Contains(err.Error(), "HTTP 400: Bad Request") {
		t.Errorf("got %v", err)
	}
}

// What cannot be a project or a function is refused before anything is sent:
// it could lead to another path of the API.
func TestInvalidInput(t *testing.T) {
	t.Parallel()
	c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("%s was asked for", r.URL)
		return nil, io.EOF
	}))
	for _, bad := range []string{"", "..", "../../x", "abc", "ABCDEFGHIJKLMNOPQRST", "abcdefghijklmnopqrs/", "a?b\x1b[2J"} {
		if _, err := c.ListSecrets(t.Context(), bad); !errors.Is(err, errInvalidInput) || text.Line(err.Error()) != err.Error() {
			t.Errorf("ref %q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "..", "a/b", "a?b=c", "-a", "a b", "a\x1bb"} {
		_, err1 := c.GetFunction(t.Context(), testRef, bad)
		_, err2 := c.FunctionSource(t.Context(), testRef, bad)
		_, err3 := c.UpdateFunction(t.Context(), testRef, bad, FunctionUpdate{})
		_, err4 := c.DeployFunction(t.Context(), testRef, Deployment{Slug: bad, Entrypoint: "i", Files: map[string][]byte{"i": nil}})
		for _, err := range []error{err1, err2, err3, err4, c.DeleteFunction(t.Context(), testRef, bad)} {
			if !errors.Is(err, errInvalidInput) || text.Line(err.Error()) != err.Error() {
				t.Errorf("slug %q: %v", bad, err)
			}
		}
	}
}

// A client is only made for a token and an address that a token may be sent to.
func TestNew(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "https://api.supabase.com", "https://api.supabase.green/", "http://127.0.0.1:1", "http://localhost:1/x", "http://[::1]:1"} {
		if _, err := New(Config{BaseURL: address, Token: "t0ken"}); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"http://api.supabase.com", "api.supabase.com", "ftp://x", "https://u:canary@x", "https://x?canary", "https://x#canary", "https://\x7fcanary", "http://127.0.0.1.example"} {
		if _, err := New(Config{BaseURL: address, Token: "t0ken"}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", address, err)
		}
	}
	for token, want := range map[string]string{"": "is empty", "canary ": "a space", "can\nary: x": "a line break", "canary\x00": "another character", "canaryä": "another character"} {
		if _, err := New(Config{Token: token}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", token, err)
		}
	}
}
