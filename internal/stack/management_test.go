package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// message returns the text of an error's body.
func message(t *testing.T, a reply) string {
	t.Helper()
	return decode[struct{ Message string }](t, a).Message
}

// Proves who may do what: the full token everything, the read-only token what
// reads, an unknown token or none nothing, and nobody another project.
func TestPermissions(t *testing.T) {
	t.Parallel()
	project := "/v1/projects/" + shared(t).ProjectRef
	const forbidden = "Your account does not have the necessary privileges to access this endpoint."
	reader := "Bearer " + shared(t).ReadOnlyAccessToken
	for _, test := range []struct {
		method, path, body, authorization string
		status                            int
		message                           string // its beginning
	}{
		{"GET", project, "", "", 401, "Unauthorized"},
		{"GET", project, "", "Bearer " + shared(t).SecretKey, 401, "JWT could not be decoded"},
		{"GET", project, "", "Bearer sbp_0000000000000000000000000000000000000000", 401, "JWT could not be decoded"},
		{"GET", "/v1/projects/abcdefghijklmnopqrst", "", reader, 404, "Project not found"},
		{"GET", "/v1/projects/Short", "", reader, 400, "ref:"},
		{"GET", project + "/nothing", "", reader, 404, "Cannot GET"},
		{"GET", project, "", reader, 200, ""},
		{"GET", project + "/functions", "", reader, 200, ""},
		{"GET", project + "/functions/alert-processor", "", reader, 200, ""},
		{"GET", project + "/functions/alert-processor/body", "", reader, 200, ""},
		{"GET", project + "/secrets", "", reader, 200, ""},
		{"GET", project + "/api-keys", "", reader, 200, ""},
		{"GET", project + "/api-keys?reveal=true", "", reader, 403, forbidden},
		{"POST", project + "/database/query/read-only", `{"query":"select 1"}`, reader, 201, ""},
		{"POST", project + "/database/query", `{"query":"select 1","read_only":true}`, reader, 201, ""},
		{"POST", project + "/database/query", `{"query":"select 1"}`, reader, 403, forbidden},
		{"POST", project + "/secrets", `[{"name":"A","value":"b"}]`, reader, 403, forbidden},
		{"DELETE", project + "/secrets", `["A"]`, reader, 403, forbidden},
		{"POST", project + "/functions", `{}`, reader, 403, forbidden},
		{"PUT", project + "/functions", `[]`, reader, 403, forbidden},
		{"POST", project + "/functions/deploy?slug=a", ``, reader, 403, forbidden},
		{"PATCH", project + "/functions/alert-processor", `{}`, reader, 403, forbidden},
		{"DELETE", project + "/functions/alert-processor", ``, reader, 403, forbidden},
		{"POST", project + "/cli/login-role", `{"read_only":true}`, reader, 403, forbidden},
		{"DELETE", project + "/cli/login-role", ``, reader, 403, forbidden},
	} {
		got := send(t, test.method, shared(t).APIURL+test.path, test.body, "Authorization", test.authorization, "Content-Type", "application/json")
		if got.status != test.status || test.message != "" && !strings.HasPrefix(message(t, got), test.message) {
			t.Errorf("%s %s: %d %.200s, want %d %s", test.method, test.path, got.status, got.body, test.status, test.message)
		}
		if test.status != 401 && !strings.Contains(test.message, "Cannot") && got.header.Get("X-Gotrue-Id") == "" {
			t.Errorf("%s %s: no x-gotrue-id", test.method, test.path)
		}
	}
	if api(t, "GET", "/functions/alert-processor", "").status != 200 {
		t.Error("a read-only token deleted a function")
	}
}

// Proves the fixed window of the rate limit: one for each endpoint and project,
// shared by a user's tokens, with headers that count down, 429 until its end,
// and requests again in the next one.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := newLimiter(3, time.Minute)
	l.now = func() time.Time { return now }
	m := newManagement(&shared(t).keys, shared(t).store, shared(t).gateway, shared(t).cluster.url, l)
	get := func(path, token string) reply {
		r := httptest.NewRequest(http.MethodGet, "/v1/projects/"+shared(t).ProjectRef+path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		m.mux.ServeHTTP(w, r)
		return reply{w.Code, w.Header(), w.Body.String()}
	}
	check := func(got reply, status int, remaining, reset string) {
		t.Helper()
		h := got.header
		if got.status != status || h.Get("x-ratelimit-limit") != "3" || h.Get("x-ratelimit-remaining") != remaining || h.Get("x-ratelimit-reset") != reset {
			t.Errorf("%d %v %s", got.status, h, got.body)
		}
	}
	check(get("/secrets", shared(t).AccessToken), 200, "2", "60")
	now = now.Add(1500 * time.Millisecond)
	check(get("/secrets", shared(t).ReadOnlyAccessToken), 200, "1", "59")
	check(get("/secrets", shared(t).AccessToken), 200, "0", "59")
	refused := get("/secrets", shared(t).AccessToken)
	check(refused, 429, "0", "59")
	if message(t, refused) != "ThrottlerException: Too Many Requests" {
		t.Error(refused.body)
	}
	check(get("/functions", shared(t).AccessToken), 200, "2", "60")
	check(get("/functions/a", shared(t).AccessToken), 404, "2", "60")
	check(get("/functions/b", shared(t).AccessToken), 404, "1", "60") // one endpoint, whatever the slug
	now = now.Add(58499 * time.Millisecond)
	check(get("/secrets", shared(t).AccessToken), 429, "0", "1")
	now = now.Add(time.Millisecond)
	check(get("/secrets", shared(t).AccessToken), 200, "2", "60")
	check(get("/secrets", "wrong"), 401, "2", "60") // counted by address
}

// Proves that the limit is on unless it is switched off, at Supabase's values.
func TestRateLimitDefault(t *testing.T) {
	t.Parallel()
	if o := (Options{}).withDefaults(); o.RateLimit != 120 || o.RateWindow != time.Minute || o.Articles != 1000 {
		t.Errorf("%+v", o)
	}
	if got := api(t, http.MethodGet, "/functions", ""); got.header.Get("X-RateLimit-Limit") != "" {
		t.Error("a limit that is off is announced")
	}
}

// Proves that the log of requests names endpoints rather than URLs, with the
// status that the caller saw, and that a middleware can fail a request before or
// after the server did its work.
func TestCallsAndInterceptAPI(t *testing.T) {
	s := spare(t)
	t.Cleanup(func() { s.InterceptAPI(nil) })
	call := func(method, path, body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.APIURL+"/v1/projects/"+s.ProjectRef+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.AccessToken)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	secret := func(name string) bool {
		return slices.ContainsFunc(s.store.listSecrets(), func(row secretRow) bool { return row.Name == name })
	}
	before := len(s.APICalls())
	if got := call(http.MethodGet, "/functions/alert-processor?x=1", ""); got != 200 {
		t.Error(got)
	}
	s.InterceptAPI(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	})
	if got := call(http.MethodPost, "/secrets", `[{"name":"BEFORE","value":"x"}]`); got != 503 || secret("BEFORE") {
		t.Errorf("before: %d, set: %v", got, secret("BEFORE"))
	}
	s.InterceptAPI(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
	})
	if got := call(http.MethodPost, "/secrets", `[{"name":"AFTER","value":"x"}]`); got != 0 || !secret("AFTER") {
		t.Errorf("after: %d, set: %v", got, secret("AFTER"))
	}
	s.InterceptAPI(nil)
	if got := call(http.MethodGet, "/unknown", ""); got != 404 {
		t.Error(got)
	}
	calls := s.APICalls()[before:]
	got := make([]string, len(calls))
	for i, c := range calls {
		got[i] = fmt.Sprint(c.Method, " ", c.Path, " ", c.Status)
	}
	want := []string{
		"GET /v1/projects/{ref}/functions/{function_slug} 200",
		"POST /v1/projects/{ref}/secrets 503",
		"POST /v1/projects/{ref}/secrets 0",
		"GET /v1/projects/" + s.ProjectRef + "/unknown 404",
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls: %q", got)
	}
}

// Proves that only the secret key is masked, and only without reveal, and that
// the keys which are shown are the project's.
func TestAPIKeys(t *testing.T) {
	t.Parallel()
	type row struct {
		Name, ID, Type, Prefix, Hash string
		APIKey                       string            `json:"api_key"`
		Template                     map[string]string `json:"secret_jwt_template"`
	}
	for _, reveal := range []bool{false, true} {
		got := decode[[]row](t, api(t, http.MethodGet, "/api-keys?reveal="+strconv.FormatBool(reveal), ""))
		keys := map[string]string{}
		for _, r := range got {
			keys[r.Type+" "+r.Name] = r.APIKey
			if r.Type == "secret" {
				if r.Template["role"] != "service_role" || !strings.HasPrefix(shared(t).SecretKey, r.Prefix) {
					t.Errorf("%+v", r)
				}
			}
		}
		want := map[string]string{
			"legacy anon": shared(t).AnonKey, "legacy service_role": shared(t).ServiceRoleKey,
			"publishable default": shared(t).PublishableKey, "secret default": shared(t).SecretKey,
		}
		if !reveal {
			masked := keys["secret default"]
			if !regexp.MustCompile(`^sb_secret_.{5}·+$`).MatchString(masked) || strings.Contains(masked, shared(t).SecretKey[16:]) {
				t.Errorf("masked key %q", masked)
			}
			want["secret default"] = masked
		}
		if !maps.Equal(keys, want) {
			t.Errorf("reveal=%v: other keys than the project's", reveal)
		}
	}
}

// Proves that secrets are listed by the SHA-256 of their value, beside
// Supabase's own, that writing replaces by name and leaves others alone, that
// a batch with a bad name or value changes nothing, and that deleting what is
// not there does not fail.
func TestSecrets(t *testing.T) {
	t.Parallel()
	list := func() map[string]string {
		rows := map[string]string{}
		for _, r := range decode[[]secretRow](t, api(t, http.MethodGet, "/secrets", "")) {
			rows[r.Name] = r.Value
		}
		return rows
	}
	created := api(t, http.MethodPost, "/secrets", `[{"name":"TS_A","value":"true"},{"name":"TS_B","value":"<ção>\n"}]`)
	if created.status != 201 || created.body != "" || created.header.Get("Content-Type") != "" {
		t.Errorf("POST: %d %q %v", created.status, created.body, created.header)
	}
	rows := list()
	if rows["TS_A"] != "b5bea41b6c623f7c09f1bf24dcae58ebab3c0cdd90ad966bc43a45b44867e12b" || rows["TS_B"] != sha256Hex("<ção>\n") {
		t.Errorf("digests: %v", rows)
	}
	for _, name := range []string{"SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_DB_URL", "SUPABASE_SECRET_KEYS"} {
		if rows[name] == "" {
			t.Errorf("%s is not listed", name)
		}
	}
	if rows["SUPABASE_URL"] != sha256Hex(shared(t).ProjectURL) {
		t.Error("SUPABASE_URL has another digest than its value")
	}
	for _, bad := range []string{
		`[{"name":"TS_C","value":"x"},{"name":"SUPABASE_X","value":"x"}]`,
		`[{"name":"TS_C","value":"x"},{"name":"` + strings.Repeat("n", 257) + `","value":"x"}]`,
		`[{"name":"TS_C","value":"x"},{"name":"","value":"x"}]`,
		`[{"name":"TS_C","value":"x"},{"name":"TS_D"}]`,
		`[{"name":"TS_C","value":"` + strings.Repeat("ç", 24577) + `"}]`,
		`{"name":"TS_C","value":"x"}`,
	} {
		if got := api(t, http.MethodPost, "/secrets", bad); got.status != 400 || message(t, got) == "" {
			t.Errorf("%.60s: %d %s", bad, got.status, got.body)
		}
	}
	many := make([]map[string]string, 101)
	for i := range many {
		many[i] = map[string]string{"name": fmt.Sprintf("TS_MANY_%d", i), "value": "x"}
	}
	body, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	if got := api(t, http.MethodPost, "/secrets", string(body)); got.status != 400 {
		t.Errorf("101 secrets: %d", got.status)
	}
	if _, ok := list()["TS_C"]; ok {
		t.Error("a refused batch left a secret")
	}
	longest := api(t, http.MethodPost, "/secrets",
		`[{"name":"TS_A","value":"`+strings.Repeat("ç", 24576)+`"},{"name":"supabase_lower","value":"x"}]`)
	if longest.status != 201 || list()["TS_A"] != sha256Hex(strings.Repeat("ç", 24576)) || list()["TS_B"] != rows["TS_B"] {
		t.Errorf("the longest value: %d %s", longest.status, longest.body)
	}
	if got := api(t, http.MethodDelete, "/secrets", `["TS_A","TS_B","supabase_lower","TS_NEVER"]`); got.status != 200 || got.body != "" {
		t.Errorf("DELETE: %d %s", got.status, got.body)
	}
	if got := api(t, http.MethodDelete, "/secrets", `["SUPABASE_URL"]`); got.status != 400 {
		t.Errorf("DELETE of a reserved name: %d", got.status)
	}
	if _, ok := list()["TS_A"]; ok || list()["SUPABASE_URL"] == "" {
		t.Error("the wrong secrets were deleted")
	}
}

// Proves the life of a function in the API: a deploy creates it with
// verify_jwt on unless told otherwise (also again for one that had it off), a
// metadata change keeps the code, and a deleted one is a 404.
func TestFunctionLife(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"life/index.ts":   `import { text } from "../_shared/text.ts"; import c from "./c.json" with { type: "json" }; Deno.serve(() => new Response(text + c.n));`,
		"_shared/text.ts": `export const text = "v";`,
		"life/c.json":     `{"n":1}`,
	}
	const metadata = `{"entrypoint_path":"life/index.ts","name":"Life"}`
	before := time.Now().UnixMilli()
	created := upload(t, "slug=life", metadata, files)
	f := decode[function](t, created)
	root := regexp.MustCompile(`^file:///tmp/user_fn_` + shared(t).ProjectRef + `_` + regexp.QuoteMeta(f.ID) + `_1/source/life/index\.ts$`)
	if created.status != 201 || f.Slug != "life" || f.Name != "Life" || f.Status != "ACTIVE" || f.Version != 1 || !f.VerifyJWT || f.ImportMap ||
		f.CreatedAt < before || f.UpdatedAt != f.CreatedAt || !root.MatchString(f.EntrypointPath) || len(f.EzbrSHA256) != 64 {
		t.Fatalf("deployed: %d %s", created.status, created.body)
	}
	if got := invoke(t, "life", ""); got.status != 401 {
		t.Errorf("without a JWT: %d %s", got.status, got.body)
	}
	if got := invoke(t, "life", "", "Authorization", "Bearer "+shared(t).AnonKey); got.body != "v1" {
		t.Errorf("with a JWT: %d %s", got.status, got.body)
	}
	patched := api(t, http.MethodPatch, "/functions/life", `{"verify_jwt":false}`)
	p := decode[function](t, patched)
	if patched.status != 200 || p.VerifyJWT || p.ID != f.ID || p.EzbrSHA256 != f.EzbrSHA256 || p.UpdatedAt <= f.UpdatedAt || p.Name != "Life" {
		t.Errorf("PATCH: %d %s", patched.status, patched.body)
	}
	if got := invoke(t, "life", ""); got.body != "v1" {
		t.Errorf("verify_jwt off: %d %s", got.status, got.body)
	}
	read := decode[function](t, api(t, http.MethodGet, "/functions/life", ""))
	read.Version = p.Version // moves with the secrets of other tests
	if read != p {
		t.Errorf("GET: %+v, want %+v", read, p)
	}
	files["life/c.json"] = `{"n":2}`
	again := decode[function](t, upload(t, "slug=life", metadata, files))
	if !again.VerifyJWT || again.ID != f.ID || again.CreatedAt != f.CreatedAt || !strings.Contains(again.EntrypointPath, f.ID+"_2/source/") {
		t.Errorf("deployed again: %+v", again)
	}
	if got := invoke(t, "life", "", "Authorization", "Bearer "+shared(t).AnonKey); got.body != "v2" {
		t.Errorf("deployed again: %d %s", got.status, got.body)
	}
	if got := shared(t).FunctionFiles("life"); !maps.Equal(got, files) {
		t.Errorf("files: %q", got)
	}
	if got := decode[[]function](t, api(t, http.MethodGet, "/functions", "")); !slices.ContainsFunc(got, func(g function) bool { return g.Slug == "life" && g.EzbrSHA256 == again.EzbrSHA256 }) {
		t.Error("the list does not have it")
	}
	if got := api(t, http.MethodDelete, "/functions/life", ""); got.status != 200 || message(t, got) != "ok" {
		t.Errorf("DELETE: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/functions/life", "/functions/life/body"} {
		if got := api(t, http.MethodGet, path, ""); got.status != 404 || message(t, got) != "Function not found" {
			t.Errorf("GET %s: %d %s", path, got.status, got.body)
		}
	}
	if got := api(t, http.MethodDelete, "/functions/life", ""); got.status != 404 {
		t.Errorf("DELETE again: %d", got.status)
	}
}

// Proves what the fingerprints of a deployment are worth: the hash and the time
// move with every deploy, even of the same source, and otherwise stand still;
// the version moves without a deploy and stands still with one.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	store, err := newFunctionStore(shared(t).ProjectRef, t.TempDir(), shared(t).store.deno)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.close)
	put := func(source string) function {
		t.Helper()
		f, err := store.deploy(t.Context(), deployment{
			slug: "f", entrypoint: "f/index.ts", files: map[string][]byte{"f/index.ts": []byte(source)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return *f
	}
	first := put("export default 1;")
	if again := *store.get("f"); again != first {
		t.Errorf("another reading: %+v, %+v", first, again)
	}
	same := put("export default 1;")
	if same.EzbrSHA256 == first.EzbrSHA256 || same.UpdatedAt <= first.UpdatedAt || same.EntrypointPath == first.EntrypointPath ||
		same.ID != first.ID || same.Version != first.Version {
		t.Errorf("the same source: %+v, %+v", first, same)
	}
	if err := store.setSecrets(map[string]string{"X": "x"}); err != nil {
		t.Fatal(err)
	}
	secret := *store.get("f")
	want := same
	want.Version++
	if secret != want {
		t.Errorf("a secret changed: %+v, %+v", same, secret)
	}
	other := put("export default 2;")
	if other.EzbrSHA256 == secret.EzbrSHA256 || other.UpdatedAt <= secret.UpdatedAt || other.Version <= secret.Version {
		t.Errorf("another source: %+v, %+v", secret, other)
	}
}

// Proves that a deploy which cannot be bundled is a 400 that names the module
// and its importer in the server's paths, and that it changes nothing.
func TestBundleErrors(t *testing.T) {
	t.Parallel()
	const slug = "bundle-errors"
	deploy(t, slug, `Deno.serve(() => new Response("intact"));`)
	read := func() function {
		f := decode[function](t, api(t, http.MethodGet, "/functions/"+slug, ""))
		f.Version = 0 // moves with the secrets of other tests
		return f
	}
	before := read()
	for name, test := range map[string]struct {
		metadata string
		files    map[string]string
		status   int
		message  string // a regular expression
	}{
		"a missing import": {
			`{"entrypoint_path":"f/index.ts"}`, map[string]string{"f/index.ts": "import './a.ts';", "f/a.ts": "\nimport './missing.ts';"},
			400, `^Failed to bundle the function \(reason: Module not found "file:///tmp/user_fn_[a-z]{20}_[0-9a-f-]{36}_\d+/source/f/missing\.ts"\.\s+at file:///tmp/user_fn_.*/source/f/a\.ts:2:\d+\)\.$`,
		},
		"a query string is part of the name": {
			`{"entrypoint_path":"f/index.ts"}`, map[string]string{"f/index.ts": "import './a.ts';", "f/a.ts?v=1": ""}, 400, `Module not found`,
		},
		"out of the source directory": {
			`{"entrypoint_path":"index.ts"}`, map[string]string{"index.ts": "import '../_shared/x.ts';", "../_shared/x.ts": ""}, 400, `Module not found`,
		},
		"a missing entry point": {`{"entrypoint_path":"f/index.ts"}`, map[string]string{"f/main.ts": ""}, 400, `Module not found`},
		"a missing import map":  {`{"entrypoint_path":"f/index.ts","import_map_path":"f/deno.json"}`, map[string]string{"f/index.ts": ""}, 400, `Import map not found`},
		"an unknown bare name":  {`{"entrypoint_path":"f/index.ts"}`, map[string]string{"f/index.ts": "import 'lib';"}, 400, `(?s)Failed to bundle.*lib`},
		"a syntax error":        {`{"entrypoint_path":"f/index.ts"}`, map[string]string{"f/index.ts": "const = 1"}, 400, `Failed to bundle`},
		"no metadata":           {"", map[string]string{"f/index.ts": ""}, 400, `entrypoint_path`},
		"no entry point":        {`{"name":"x"}`, map[string]string{"f/index.ts": ""}, 400, `entrypoint_path`},
		"no JSON":               {`{`, map[string]string{"f/index.ts": ""}, 400, `metadata`},
	} {
		got := upload(t, "slug="+slug, test.metadata, test.files)
		if got.status != test.status || !regexp.MustCompile(test.message).MatchString(message(t, got)) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := upload(t, "slug=0-digit", `{"entrypoint_path":"f/index.ts"}`, map[string]string{"f/index.ts": ""}); got.status != 400 {
		t.Errorf("a bad slug: %d %s", got.status, got.body)
	}
	if after := read(); after != before {
		t.Errorf("changed: %+v, %+v", before, after)
	}
	if got := invoke(t, slug, ""); got.body != "intact" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestSameSources proves that Deno is asked once what the sources of several functions reach
// that differ in their directory and in JSON only, that each function has its own files, and
// that a source which names its directory is judged by itself.
func TestSameSources(t *testing.T) {
	t.Parallel()
	files := func(dir, number string) map[string]string {
		return map[string]string{
			dir + "/index.ts": `import { x } from "./x.ts"; import n from "./n.json" with { type: "json" }; Deno.serve(() => new Response(x + n));`,
			dir + "/x.ts":     `import type { T } from "./t.ts"; import "../common/c.ts"; export const x: T = "same sources ";`,
			dir + "/t.ts":     `export type T = string;`, dir + "/n.json": number, "common/c.ts": "",
		}
	}
	known := func() int {
		knownGraphs.Lock()
		defer knownGraphs.Unlock()
		n := 0
		for _, reached := range knownGraphs.files {
			if slices.Contains(reached, "common/c.ts") {
				n++
			}
		}
		return n
	}
	for i, slug := range []string{"same-a", "same-b"} {
		number := strconv.Itoa(i)
		if got := upload(t, "slug="+slug, `{"entrypoint_path":"`+slug+`/index.ts","verify_jwt":false}`, files(slug, number)); got.status != 201 {
			t.Fatalf("%s: %d %s", slug, got.status, got.body)
		}
		if got := known(); got != 1 {
			t.Errorf("after %s, %d graphs are known", slug, got)
		}
		want := []string{"common/c.ts", slug + "/index.ts", slug + "/n.json", slug + "/x.ts"}
		if got := slices.Sorted(maps.Keys(shared(t).FunctionFiles(slug))); !slices.Equal(got, want) {
			t.Errorf("%s has the files %q, not %q", slug, got, want)
		}
		if got := invoke(t, slug, ""); got.body != "same sources "+number {
			t.Errorf("%s: %d %s", slug, got.status, got.body)
		}
		shared(t).KillFunction(slug)
	}
	for slug, status := range map[string]int{"same-c": 201, "same-d": 400} {
		sources := map[string]string{slug + "/index.ts": `import "../same-c/y.ts";`, slug + "/y.ts": ""}
		if got := upload(t, "slug="+slug, `{"entrypoint_path":"`+slug+`/index.ts"}`, sources); got.status != status {
			t.Errorf("%s: %d %s", slug, got.status, got.body)
		}
	}
}

// Proves that an import map is used, both when bundling and when running.
func TestImportMap(t *testing.T) {
	t.Parallel()
	for slug, name := range map[string]string{"map-config": "deno.json", "map-plain": "import_map.json"} {
		got := upload(t, "slug="+slug, `{"entrypoint_path":"f/index.ts","import_map_path":"f/`+name+`","verify_jwt":false}`, map[string]string{
			"f/" + name: `{"imports":{"lib":"./library/mod.ts"}}`, "f/library/mod.ts": `export const x = "mapped";`,
			"f/index.ts": `import { x } from "lib"; Deno.serve(() => new Response(x));`,
		})
		f := decode[function](t, got)
		if got.status != 201 || !f.ImportMap || !strings.HasSuffix(f.ImportMapPath, "/source/f/"+name) {
			t.Errorf("%s: %d %s", slug, got.status, got.body)
		}
		if got := invoke(t, slug, ""); got.body != "mapped" {
			t.Errorf("%s: %d %s", slug, got.status, got.body)
		}
		shared(t).KillFunction(slug)
	}
}

// Proves that the source comes back as it was uploaded, in parts whose names
// keep their directories, without what nothing imports and what only types
// import; and that without the Accept header it is an opaque bundle whose hash
// is the function's.
func TestFunctionBody(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"body/index.ts":    "import { a } from \"./sub/a.ts\";\r\nimport type { T } from \"./t.ts\";\nimport c from \"./c.json\" with { type: \"json\" };\nconst t: T = a;\nawait import(\"../_shared/d.ts\");\nDeno.serve(() => new Response(t + c));",
		"body/sub/a.ts":    "export const a = \"ção\"; // \x00 \U0001F6A8",
		"body/c.json":      "[1]\n",
		"_shared/d.ts":     "export {};",
		"body/t.ts":        "export type T = string;",
		"body/unused.ts":   "export {};",
		"body/README.md":   "nothing",
		"_shared/other.ts": "export {};",
	}
	if got := upload(t, "slug=body", `{"entrypoint_path":"body/index.ts","verify_jwt":false}`, files); got.status != 201 {
		t.Fatal(got.body)
	}
	got := api(t, http.MethodGet, "/functions/body/body", "", "Accept", "multipart/form-data")
	mediaType, parameters, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if err != nil || got.status != 200 || mediaType != "multipart/form-data" {
		t.Fatalf("%d %v %v", got.status, got.header, err)
	}
	seen := map[string]string{}
	form := multipart.NewReader(strings.NewReader(got.body), parameters["boundary"])
	for {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		_, disposition, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := disposition["filename"]; ok {
			seen[name] = string(content)
		} else if disposition["name"] != "metadata" || string(content) != `{"deno2_entrypoint_path":"source/body/index.ts"}` {
			t.Errorf("part %v: %s", disposition, content)
		}
	}
	want := map[string]string{}
	for _, name := range []string{"body/index.ts", "body/sub/a.ts", "body/c.json", "_shared/d.ts"} {
		want["source/"+name] = files[name]
	}
	if !maps.Equal(seen, want) {
		t.Errorf("files: %q", seen)
	}
	opaque := api(t, http.MethodGet, "/functions/body/body", "")
	f := decode[function](t, api(t, http.MethodGet, "/functions/body", ""))
	if !strings.HasPrefix(opaque.body, "EZBR") || strings.HasPrefix(opaque.header.Get("Content-Type"), "multipart/") || sha256Hex(opaque.body) != f.EzbrSHA256 {
		t.Errorf("the bundle: %v", opaque.header)
	}
}

// Proves that bundleOnly changes nothing that runs until the bundle is published
// by PUT, which also sets metadata of its own accord.
func TestBundleOnlyAndBulkUpdate(t *testing.T) {
	t.Parallel()
	const slug = "bundle-only"
	t.Cleanup(func() { shared(t).store.remove(slug) })
	files := map[string]string{"f/index.ts": `Deno.serve(() => new Response("staged"));`}
	const metadata = `{"entrypoint_path":"f/index.ts","name":"n","verify_jwt":false}`
	staged := upload(t, "slug="+slug+"&bundleOnly=true", metadata, files)
	f := decode[function](t, staged)
	if staged.status != 201 || f.ID == "" || f.EzbrSHA256 == "" || strings.Contains(staged.body, "_at") {
		t.Fatalf("%d %s", staged.status, staged.body)
	}
	if got := api(t, http.MethodGet, "/functions/"+slug, ""); got.status != 404 {
		t.Errorf("before it is published: %d", got.status)
	}
	put := func(f function) function {
		t.Helper()
		body, err := json.Marshal([]function{f})
		if err != nil {
			t.Fatal(err)
		}
		got := api(t, http.MethodPut, "/functions", string(body))
		rows := decode[struct{ Functions []function }](t, got)
		if got.status != 200 || len(rows.Functions) != 1 {
			t.Fatalf("PUT: %d %s", got.status, got.body)
		}
		return rows.Functions[0]
	}
	published := put(f)
	if published.ID != f.ID || published.EzbrSHA256 != f.EzbrSHA256 || published.Version != f.Version || published.VerifyJWT {
		t.Errorf("published: %+v, %+v", f, published)
	}
	if got := invoke(t, slug, ""); got.body != "staged" {
		t.Errorf("published: %d %s", got.status, got.body)
	}
	published.Name, published.Version, published.VerifyJWT = "renamed", 42, true
	if got := put(published); got.Name != "renamed" || got.Version != 42 || !got.VerifyJWT || got.EzbrSHA256 != f.EzbrSHA256 {
		t.Errorf("metadata: %+v", got)
	}
	if got := invoke(t, slug, "", "Authorization", "Bearer "+shared(t).AnonKey); got.body != "staged" {
		t.Errorf("metadata: %d %s", got.status, got.body)
	}
	shared(t).KillFunction(slug)
	if got := api(t, http.MethodPut, "/functions", `[{"slug":"x"}]`); got.status != 400 {
		t.Errorf("a bad row: %d %s", got.status, got.body)
	}
}

// Proves that a project takes the Free plan's number of functions and no more,
// and that replacing one is still possible then.
func TestFunctionQuota(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := newFunctionStore("ref", dir, shared(t).store.deno)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.close)
	for i := range maxFunctions {
		slug := fmt.Sprintf("f%d", i)
		store.functions[slug] = &function{ID: newUUID(), Slug: slug}
	}
	d := deployment{slug: "more", entrypoint: "f/index.ts", files: map[string][]byte{"f/index.ts": []byte("Deno.serve(() => new Response());")}}
	var refused *apiError
	if _, err := store.deploy(t.Context(), d); !errors.As(err, &refused) || refused.status != 402 {
		t.Errorf("one more: %v", err)
	}
	d.slug = "f1"
	if _, err := store.deploy(t.Context(), d); err != nil {
		t.Errorf("one of them: %v", err)
	}
}

// Proves the older endpoints for a function of one file.
func TestOlderEndpoints(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() { shared(t).store.remove("older") })
	const body = `{"slug":"older","name":"Older","body":"Deno.serve(() => new Response('1'))","verify_jwt":false}`
	if got := api(t, http.MethodPost, "/functions", body); got.status != 201 || decode[function](t, got).Name != "Older" {
		t.Errorf("POST: %d %s", got.status, got.body)
	}
	if got := api(t, http.MethodPost, "/functions", body); got.status != 400 || message(t, got) != "Duplicated function slug" {
		t.Errorf("POST again: %d %s", got.status, got.body)
	}
	if got := api(t, http.MethodPatch, "/functions/older", `{"body":"Deno.serve(() => new Response('2'))"}`); got.status != 200 || decode[function](t, got).VerifyJWT {
		t.Errorf("PATCH: %d %s", got.status, got.body)
	}
	if got := invoke(t, "older", ""); got.body != "2" {
		t.Errorf("%d %s", got.status, got.body)
	}
	shared(t).KillFunction("older")
	if got := api(t, http.MethodPatch, "/functions/never", `{}`); got.status != 404 {
		t.Errorf("PATCH: %d %s", got.status, got.body)
	}
	if got := api(t, http.MethodPost, "/functions", "EZBR", "Content-Type", "application/vnd.denoland.eszip"); got.status != 415 {
		t.Errorf("an eszip: %d %s", got.status, got.body)
	}
}

// Proves that health tells of a database that is down.
func TestHealth(t *testing.T) {
	t.Parallel()
	type row struct {
		Name, Status string
		Healthy      bool
	}
	rows := decode[[]row](t, api(t, http.MethodGet, "/health?services=db&services=auth", ""))
	if !slices.Equal(rows, []row{{"db", "ACTIVE_HEALTHY", true}, {"auth", "ACTIVE_HEALTHY", true}}) {
		t.Errorf("%+v", rows)
	}
	for _, path := range []string{"/health", "/health?services=functions"} {
		if got := api(t, http.MethodGet, path, ""); got.status != 400 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	down := newManagement(&shared(t).keys, shared(t).store, shared(t).gateway,
		func(string) string { return "postgresql://x:y@127.0.0.1:1/postgres?sslmode=disable" }, newLimiter(-1, 0))
	server := httptest.NewServer(down.mux)
	t.Cleanup(server.Close)
	project := server.URL + "/v1/projects/" + shared(t).ProjectRef
	got := send(t, http.MethodGet, project+"/health?services=db", "", "Authorization", "Bearer "+shared(t).AccessToken)
	if rows := decode[[]row](t, got); rows[0].Healthy || rows[0].Status != "UNHEALTHY" {
		t.Errorf("down: %+v", rows)
	}
	got = send(t, http.MethodPost, project+"/database/query", `{"query":"select 1"}`, "Authorization", "Bearer "+shared(t).AccessToken)
	if got.status != 400 || message(t, got) != "Failed to run sql query: connect ECONNREFUSED 127.0.0.1:1" {
		t.Errorf("a query: %d %s", got.status, got.body)
	}
}
