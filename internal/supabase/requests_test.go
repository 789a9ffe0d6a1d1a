package supabase

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// Each call sends the request that the API documents and understands its
// answer. Requests and answers for secrets, lists, SQL, keys and projects are
// in the form recorded from the real API.
func TestRequests(t *testing.T) {
	t.Parallel()
	const project = "/v1/projects/" + testRef
	yes, name := true, "new name"
	for label, test := range map[string]struct {
		run                func(context.Context, *Client) (any, error)
		method, path, body string
		status             int
		answer             string
		check              func(any) bool
	}{
		"list functions": {
			run:    func(ctx context.Context, c *Client) (any, error) { return c.ListFunctions(ctx, testRef) },
			method: "GET", path: project + "/functions", status: 200,
			answer: `[{"id":"1","slug":"f","name":"F","status":"ACTIVE","version":3,"created_at":1700000000001,"updated_at":1700000000002,
				"verify_jwt":false,"import_map":true,"entrypoint_path":"file:///tmp/x/source/index.ts","ezbr_sha256":"ab","new_field":[]},
				{"id":"2","slug":"g","name":"G","status":"REMOVED","version":1,"created_at":1,"updated_at":2}]`,
			check: func(got any) bool {
				return slices.Equal(got.([]Function), []Function{
					{ID: "1", Slug: "f", Name: "F", Status: "ACTIVE", Version: 3, EntrypointPath: "file:///tmp/x/source/index.ts", EzbrSHA256: "ab", CreatedAt: 1700000000001, UpdatedAt: 1700000000002},
					{ID: "2", Slug: "g", Name: "G", Status: "REMOVED", Version: 1, VerifyJWT: true, CreatedAt: 1, UpdatedAt: 2},
				})
			},
		},
		"list no functions": {
			run:    func(ctx context.Context, c *Client) (any, error) { return c.ListFunctions(ctx, testRef) },
			method: "GET", path: project + "/functions", status: 200, answer: `[]`,
			check: func(got any) bool { return len(got.([]Function)) == 0 },
		},
		"update function": {
			run: func(ctx context.Context, c *Client) (any, error) {
				return c.UpdateFunction(ctx, testRef, "f", FunctionUpdate{Name: &name, VerifyJWT: &yes})
			},
			method: "PATCH", path: project + "/functions/f", body: `{"name":"new name","verify_jwt":true}`, status: 200,
			answer: `{"id":"1","slug":"f","name":"new name","status":"ACTIVE","version":1,"created_at":1,"updated_at":2,"verify_jwt":true}`,
			check:  func(got any) bool { return got.(Function).Name == name && got.(Function).VerifyJWT },
		},
		"may write functions": {
			run:    func(ctx context.Context, c *Client) (any, error) { return nil, c.MayWriteFunctions(ctx, testRef) },
			method: "PATCH", path: project + "/functions/terraform-provider-aimindset-has-no-such-function", body: `{}`, status: 404,
			answer: `{"message":"Function not found"}`,
		},
		"may write secrets": {
			run:    func(ctx context.Context, c *Client) (any, error) { return nil, c.MayWriteSecrets(ctx, testRef) },
			method: "POST", path: project + "/secrets", body: `[]`, status: 201,
		},
		"delete function": {
			run:    func(ctx context.Context, c *Client) (any, error) { return nil, c.DeleteFunction(ctx, testRef, "f") },
			method: "DELETE", path: project + "/functions/f", status: 200, answer: `{"message":"ok"}`,
		},
		"list secrets": {
			run:    func(ctx context.Context, c *Client) (any, error) { return c.ListSecrets(ctx, testRef) },
			method: "GET", path: project + "/secrets", status: 200,
			answer: `[{"name":"B","value":"` + strings.Repeat("AB", 32) + `","updated_at":"2026-01-01T00:00:00Z"},{"name":"A","value":"plaintext canary"}]`,
			check: func(got any) bool {
				return slices.Equal(got.([]Secret), []Secret{{Name: "A"}, {Name: "B", Digest: strings.Repeat("ab", 32), UpdatedAt: "2026-01-01T00:00:00Z"}})
			},
		},
		"set secrets": {
			run: func(ctx context.Context, c *Client) (any, error) {
				return nil, c.SetSecrets(ctx, testRef, map[string]string{"FOO": "bar", "BAZ": "qux \"<ü\n"})
			},
			method: "POST", path: project + "/secrets", status: 201,
			body: `[{"name":"BAZ","value":"qux \"\u003cü\n"},{"name":"FOO","value":"bar"}]`,
		},
		"delete secrets": {
			run: func(ctx context.Context, c *Client) (any, error) {
				return nil, c.DeleteSecrets(ctx, testRef, []string{"FOO", "BAR", "FOO"})
			},
			method: "DELETE", path: project + "/secrets", body: `["BAR","FOO"]`, status: 200,
		},
		"query": {
			run: func(ctx context.Context, c *Client) (any, error) {
				return c.Query(ctx, testRef, QueryRequest{SQL: "select $1::int8", Args: []any{int64(7), "x", nil, true}})
			},
			method: "POST", path: project + "/database/query", body: `{"parameters":[7,"x",null,true],"query":"select $1::int8"}`,
			status: 201, answer: `[{"?column?":1}]`,
			check: func(got any) bool { return string(rawOf(got)) == `[{"?column?":1}]` },
		},
		"read-only query": {
			run: func(ctx context.Context, c *Client) (any, error) {
				return c.Query(ctx, testRef, QueryRequest{SQL: "select 1", ReadOnly: true})
			},
			method: "POST", path: project + "/database/query/read-only", body: `{"query":"select 1"}`, status: 201, answer: `[]`,
			check: func(got any) bool { return string(rawOf(got)) == `[]` },
		},
		"keys": {
			run:    func(ctx context.Context, c *Client) (any, error) { return c.APIKeys(ctx, testRef) },
			method: "GET", path: project + "/api-keys", status: 200,
			answer: `[{"name":"anon","api_key":"eyJ.a.b","id":"anon","type":"legacy"},
				{"id":"1","name":"default","type":"publishable","api_key":"sb_publishable_x","description":null,"secret_jwt_template":null},
				{"id":"2","name":"default","type":"secret","api_key":"sb_secret_x··········","inserted_at":"2000-01-01T00:00:00Z"},
				{"id":null,"name":"odd","type":null,"api_key":null}]`,
			check: func(got any) bool {
				return slices.Equal(got.([]APIKey), []APIKey{
					{ID: "anon", Name: "anon", Type: "legacy", Key: "eyJ.a.b"},
					{ID: "1", Name: "default", Type: "publishable", Key: "sb_publishable_x"},
					{ID: "2", Name: "default", Type: "secret"},
					{Name: "odd"},
				})
			},
		},
		"projects": {
			run:    func(ctx context.Context, c *Client) (any, error) { return c.Projects(ctx) },
			method: "GET", path: "/v1/projects", status: 200,
			answer: `[{"id":"` + testRef + `","ref":"` + testRef + `","organization_slug":"x","name":"n","region":"us-east-1","status":"INACTIVE",
				"database":{"host":"db.x.supabase.co","version":"17.6.1.111","postgres_engine":"17","release_channel":"ga"},"created_at":"2000-01-01T00:00:00Z"},
				{"id":"older","name":"m","status":"A_NEW_STATUS","database":{"host":"db.y"}}]`,
			check: func(got any) bool {
				return slices.Equal(got.([]Project), []Project{
					{Ref: testRef, Name: "n", Region: "us-east-1", Status: "INACTIVE"},
					{Ref: "older", Name: "m", Status: "A_NEW_STATUS"},
				})
			},
		},
		"project": {
			run:    func(ctx context.Context, c *Client) (any, error) { return c.Project(ctx, testRef) },
			method: "GET", path: project, status: 200,
			answer: `{"id":"` + testRef + `","ref":"` + testRef + `","organization_id":"x","name":"n","region":"us-east-1","status":"ACTIVE_HEALTHY",
				"database":{"host":"db.x.supabase.co","version":"17.6.1.111","postgres_engine":"17","release_channel":"ga"},"created_at":"2000-01-01T00:00:00Z"}`,
			check: func(got any) bool {
				return got.(Project) == Project{Ref: testRef, Name: "n", Region: "us-east-1", Status: "ACTIVE_HEALTHY"}
			},
		},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
				body := []byte{}
				if r.Body != nil {
					body, _ = io.ReadAll(r.Body)
				}
				if r.Method != test.method || r.URL.String() != "https://api.supabase.com"+test.path || string(body) != test.body {
					t.Errorf("sent %s %s %s", r.Method, r.URL, body)
				}
				if r.Header.Get("Authorization") != "Bearer "+testToken || r.Header.Get("User-Agent") != "test/1" {
					t.Errorf("sent headers %v", r.Header)
				}
				if kind := r.Header.Get("Content-Type"); (kind == "application/json") != (test.body != "") {
					t.Errorf("Content-Type is %q", kind)
				}
				return answer(r, test.status, test.answer), nil
			}))
			got, err := test.run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if test.check != nil && !test.check(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func rawOf(v any) []byte {
	raw, _ := v.(interface{ MarshalJSON() ([]byte, error) }).MarshalJSON()
	return raw
}

// A deployment asks for the function's properties only if the answer lacks
// what tells deployments apart.
func TestDeployAsksForWhatIsMissing(t *testing.T) {
	t.Parallel()
	const whole = `{"id":"1","slug":"f","name":"f","status":"ACTIVE","version":1,"created_at":1,"updated_at":2,"ezbr_sha256":"ab","verify_jwt":false}`
	for first, wantRequests := range map[string]int{
		whole: 1,
		`{"id":"1","slug":"f","name":"f","status":"ACTIVE","version":1,"ezbr_sha256":"ab"}`:            2,
		`{"id":"1","slug":"f","name":"f","status":"ACTIVE","version":1,"created_at":1,"updated_at":2}`: 2,
	} {
		var requests []string
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			requests = append(requests, r.Method+" "+r.URL.RequestURI())
			if r.Method == http.MethodPost {
				if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "multipart/form-data; boundary=aimindset-") {
					t.Errorf("Content-Type is %q", kind)
				}
				return answer(r, 201, first), nil
			}
			return answer(r, 200, whole), nil
		}))
		f, err := c.DeployFunction(t.Context(), testRef, sample())
		if err != nil || f.UpdatedAt != 2 || f.EzbrSHA256 != "ab" || f.VerifyJWT {
			t.Errorf("got %+v, %v", f, err)
		}
		want := []string{"POST /v1/projects/" + testRef + "/functions/deploy?slug=f", "GET /v1/projects/" + testRef + "/functions/f"}
		if !slices.Equal(requests, want[:wantRequests]) {
			t.Errorf("requests %v", requests)
		}
	}
}

// A repeated upload sends the whole body again.
func TestRepeatedUploadIsWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testRepeatedUploadIsWhole)
}

func testRepeatedUploadIsWhole(t *testing.T) {
	var bodies []string
	c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		if len(bodies) == 1 {
			return nil, io.ErrUnexpectedEOF
		}
		return answer(r, 201, `{"id":"1","slug":"f","name":"f","status":"ACTIVE","version":1,"created_at":1,"updated_at":2,"ezbr_sha256":"ab"}`), nil
	}))
	if _, err := c.DeployFunction(t.Context(), testRef, sample()); err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 2 || bodies[0] != bodies[1] || len(bodies[0]) < 500 {
		t.Errorf("%d bodies", len(bodies))
	}
}

// Removing secrets of which one is missing removes the others, whether the API
// refuses the whole batch or has carried out a part.
func TestDeleteSecretsOfWhichOneIsMissing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		present string
		deletes []string
		err     error
	}{
		"others remain": {`[{"name":"B","value":""},{"name":"C","value":""}]`, []string{`["A","B"]`, `["B"]`}, nil},
		"none remains":  {`[{"name":"C","value":""}]`, []string{`["A","B"]`}, nil},
		"all remain":    {`[{"name":"A","value":""},{"name":"B","value":""}]`, []string{`["A","B"]`}, ErrNotFound},
	} {
		var deletes []string
		c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return answer(r, 200, test.present), nil
			}
			body, _ := io.ReadAll(r.Body)
			deletes = append(deletes, string(body))
			if len(deletes) == 1 {
				return answer(r, 404, `{"message":"Secret not found"}`), nil
			}
			return answer(r, 200, ""), nil
		}))
		if err := c.DeleteSecrets(t.Context(), testRef, []string{"B", "A"}); !errors.Is(err, test.err) || !slices.Equal(deletes, test.deletes) {
			t.Errorf("%s: deletes %v, error %v", name, deletes, err)
		}
	}
}

// Nothing to set or to remove is nothing to send.
func TestNothingToDo(t *testing.T) {
	t.Parallel()
	c := newClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent %s %s", r.Method, r.URL)
		return nil, io.EOF
	}))
	if err := errors.Join(c.SetSecrets(t.Context(), testRef, nil), c.DeleteSecrets(t.Context(), testRef, nil)); err != nil {
		t.Error(err)
	}
}

// An error of SQL reaches the caller with its parts, and without the arguments
// that it quotes, tokens even in pieces.
func TestQueryError(t *testing.T) {
	t.Parallel()
	const secret, document = "Zm9vYmFyYmF6cXV4LWNhbmFyeS1jYW5hcnktMDEyMzQ", `{"a":"long document"}`
	// Each value of an object may be quoted alone.
	const url = "https://hooks.example/services/T00/B00?document=1"
	c, log := newLoggedClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
		return answer(r, 400, `{"message":"Failed to run sql query: ERROR:  22023: bad value `+secret[:30]+`... in auto-backup\nDETAIL:  of {\"a\":\"long document\"}\nHINT:  Use another than `+url+`.\nCONTEXT:  f() `+secret+`\n"}`), nil
	}))
	_, err := c.Query(t.Context(), testRef, QueryRequest{SQL: "select $1::text, $2::jsonb, $3::text, $4::jsonb", Args: []any{secret, document, "auto-backup", `{"hook":"` + url + `"}`}})
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v", err)
	}
	want := Error{SQLState: "22023", Message: "bad value [redacted]... in auto-backup", Detail: "of [redacted]", Hint: "Use another than [redacted].", Where: "f() [redacted]"}
	if failure.SQLState != want.SQLState || failure.Message != want.Message || failure.Detail != want.Detail || failure.Hint != want.Hint || failure.Where != want.Where {
		t.Errorf("got %+v", failure)
	}
	if got := err.Error(); got != "run SQL in the database of project "+testRef+": SQL error 22023: bad value [redacted]... in auto-backup. Detail: of [redacted]. Hint: Use another than [redacted]." {
		t.Errorf("got %q", got)
	}
	if state, _, _, _, _, ok := failure.SQLError(); !ok || state != "22023" || failure.OutcomeUnknown() {
		t.Errorf("got %q, %t", state, ok)
	}
	if text := log.String(); strings.Contains(text, secret[:12]) || strings.Contains(text, "document") || strings.Contains(text, testToken) {
		t.Errorf("the log has a secret:\n%s", text)
	}
}

// A secret that was set stays hidden in later errors and in the log, whoever
// sends it back and in whatever piece.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const value = "canary-0123456789-canary-0123456789"
		c, log := newLoggedClient(t, roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				return answer(r, 400, `{"message":"value `+value+` of A is too long"}`), nil
			}
			return nil, errors.New("proxy said " + value[5:25])
		}))
		err := c.SetSecrets(t.Context(), testRef, map[string]string{"A": value})
		if err == nil || !strings.Contains(err.Error(), "set the secrets A of project "+testRef+": HTTP 400: value [redacted] of A is too long") {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err2 := c.ListSecrets(t.Context(), ref(1))
		_, err3 := c.ListFunctions(ctx, ref(2))
		for _, text := range []string{err.Error(), err2.Error(), err3.Error(), log.String()} {
			if strings.Contains(text, "canary") || strings.Contains(text, "0123456789") {
				t.Errorf("%q has a secret", text)
			}
		}
	})
}
