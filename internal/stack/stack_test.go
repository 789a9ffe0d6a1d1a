package stack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// shared returns the one stack that most tests of this package use. Each test works
// on its own functions, secrets and rows.
func shared(t *testing.T) *Stack {
	t.Helper()
	s, err := startShared()
	if err != nil {
		t.Fatalf("start the stack: %v", err)
	}
	return s
}

// startShared starts the shared stack when the first test asks for it.
var startShared = sync.OnceValues(func() (*Stack, error) {
	var err error
	sharedStack, err = Start(context.Background(), Options{Articles: 50, RateLimit: -1})
	return sharedStack, err
})

var sharedStack *Stack // nil until a test asks for it

// spare returns a second stack, for tests which disturb a whole project. They do not
// run in parallel, and put back what they change.
func spare(t *testing.T) *Stack {
	t.Helper()
	if spareStack == nil {
		var err error
		if spareStack, err = Start(context.Background(), Options{Articles: 50, RateLimit: -1}); err != nil {
			t.Fatal(err)
		}
	}
	return spareStack
}

var spareStack *Stack // nil until a test asks for it

// leakedVariable is in this process's environment, and may be in no other.
const leakedVariable = "STACK_TEST_LEAK"

// holdVariable makes the test binary a process that holds a stack until it dies.
const holdVariable = "STACK_TEST_HOLD"

func TestMain(m *testing.M) {
	if os.Getenv(holdVariable) != "" {
		os.Exit(holdStack())
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if err := os.Setenv(leakedVariable, "leaked"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for _, s := range []*Stack{sharedStack, spareStack} {
		if s == nil {
			continue
		}
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "close the stack:", err)
			return 1
		}
	}
	return code
}

// reply is a response that was read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// decode reads the body as JSON.
func decode[T any](t *testing.T, a reply) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("status %d, body %q: %v", a.status, a.body, err)
	}
	return v
}

// send sends a request with headers given as name, value, name, value.
func send(t *testing.T, method, url, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

// api sends a request to the Management API of the shared stack; path is below
// the project.
func api(t *testing.T, method, path, body string, headers ...string) reply {
	t.Helper()
	headers = append([]string{"Authorization", "Bearer " + shared(t).AccessToken, "Content-Type", "application/json"}, headers...)
	return send(t, method, shared(t).APIURL+"/v1/projects/"+shared(t).ProjectRef+path, body, headers...)
}

// invoke calls a function of the shared stack.
func invoke(t *testing.T, path, body string, headers ...string) reply {
	t.Helper()
	return send(t, http.MethodPost, shared(t).ProjectURL+"/functions/v1/"+path, body, headers...)
}

// upload deploys a function by the Management API. The metadata is JSON, and
// follows the files.
func upload(t *testing.T, query, metadata string, files map[string]string) reply {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, content := range files {
		header := textproto.MIMEHeader{}
		header.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file"; filename=%q`, name))
		header.Set("Content-Type", "application/octet-stream")
		part, err := form.CreatePart(header)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write([]byte(content))
	}
	if metadata != "" {
		if err := form.WriteField("metadata", metadata); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return api(t, http.MethodPost, "/functions/deploy?"+query, body.String(), "Content-Type", form.FormDataContentType())
}

// deploy deploys a function of one file that needs no JWT.
func deploy(t *testing.T, slug, source string) {
	t.Helper()
	if err := shared(t).DeployFunction(t.Context(), slug, map[string]string{"index.ts": source}, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shared(t).KillFunction(slug) })
}

// signals returns a server that a function can call; each call waits until the test
// takes it from the channel.
func signals(t *testing.T) (url string, calls <-chan string) {
	t.Helper()
	channel := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case channel <- r.URL.Path:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, channel
}

// receive takes the next call, which must come.
func receive(t *testing.T, calls <-chan string) string {
	t.Helper()
	select {
	case path := <-calls:
		return path
	case <-time.After(patience):
		t.Fatal("the function did not call")
		return ""
	}
}

// eventually waits until a condition holds that nothing announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Proves that a stack that starts from nothing has what its fields promise:
// each URL and key works, and the settings name them as the provider reads them.
func TestStart(t *testing.T) {
	t.Parallel()
	for url, role := range map[string]string{
		shared(t).DatabaseURL: "postgres", shared(t).AdminDatabaseURL: "supabase_admin", shared(t).ReadOnlyDatabaseURL: "supabase_read_only_user",
	} {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		var user string
		err = conn.QueryRow(t.Context(), "select current_user").Scan(&user)
		_ = conn.Close(t.Context())
		if err != nil || user != role {
			t.Errorf("current_user = %q, %v, want %q", user, err, role)
		}
	}
	var articles, subscribers int
	err := shared(t).Admin().QueryRow(t.Context(),
		"select (select count(*) from public.articles), (select count(*) from public.alert_subscriptions)").Scan(&articles, &subscribers)
	if err != nil || articles < 50 || subscribers == 0 {
		t.Errorf("%d articles, %d subscribers, %v", articles, subscribers, err)
	}
	got := api(t, http.MethodGet, "", "")
	if got.status != 200 || decode[map[string]any](t, got)["ref"] != shared(t).ProjectRef {
		t.Errorf("GET project: %d %s", got.status, got.body)
	}
	want := []string{
		"SUPABASE_ACCESS_TOKEN=" + shared(t).AccessToken, "SUPABASE_PROJECT_REF=" + shared(t).ProjectRef,
		"SUPABASE_API_URL=" + shared(t).APIURL, "SUPABASE_PROJECT_URL=" + shared(t).ProjectURL,
		"SUPABASE_DB_URL=" + shared(t).DatabaseURL,
	}
	if got := shared(t).EnvironWithDatabase(); !slices.Equal(got, want) || !slices.Equal(shared(t).Environ(), want[:4]) {
		t.Error("the environment does not hold the settings")
	}
}

// Proves that two stacks run side by side without sharing anything, that the
// context's end closes one as Close would, with its function's process and its
// directory, and that Close may be called again.
func TestSideBySideAndCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	other, err := Start(ctx, Options{Articles: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if other.ProjectRef == shared(t).ProjectRef || other.DatabaseURL == shared(t).DatabaseURL || other.SecretKey == shared(t).SecretKey {
		t.Error("two stacks share something")
	}
	alert := `{"type":"critical","source":"s","message":"m"}`
	got := send(t, http.MethodPost, other.ProjectURL+"/functions/v1/alert-processor", alert, "Authorization", "Bearer "+other.AnonKey)
	if got.status != 200 || len(other.Emails()) == 0 {
		t.Fatalf("alert-processor: %d %s", got.status, got.body)
	}
	// The key of one project is nothing in another.
	got = send(t, http.MethodPost, other.ProjectURL+"/functions/v1/alert-processor", alert, "Authorization", "Bearer "+shared(t).AnonKey)
	if got.status != 401 {
		t.Errorf("another project's key: %d %s", got.status, got.body)
	}
	cancel()
	eventually(t, "the directory is gone", func() bool {
		_, err := os.Stat(other.dir)
		return errors.Is(err, fs.ErrNotExist)
	})
	if err := other.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := other.FunctionProcesses("alert-processor"); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if processes := processesNaming(t, other.dir); len(processes) != 0 {
		t.Errorf("processes are left: %q", processes)
	}
}

// processesNaming returns the command lines which name a stack's directory, or its
// server's, which has the same name.
func processesNaming(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte(filepath.Base(dir))) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// holdStack starts a stack, a function's process and the service for SQL, says where, and
// waits to be killed.
func holdStack() int {
	s, err := Start(context.Background(), Options{Articles: 1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	r, err := http.NewRequest(http.MethodPost, s.ProjectURL+"/functions/v1/alert-processor", strings.NewReader("{}"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	r.Header.Set("Authorization", "Bearer "+s.AnonKey)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = response.Body.Close()
	if _, err := sqlService.query(context.Background(), s.DatabaseURL, queryBody{Query: "select 1"}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(s.dir, sqlService.running.url)
	select {}
}

// Proves that nothing of a stack outlives a process that is killed without a
// chance to clean up: no server, no function, no file.
func TestNothingOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdVariable+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(stdout).ReadString('\n')
	dir, service, _ := strings.Cut(strings.TrimSpace(line), " ")
	var before []string
	if dir != "" {
		before = processesNaming(t, dir)
	}
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
	if readErr != nil || dir == "" {
		t.Fatalf("the stack did not start: %v", readErr)
	}
	if service == "" || !slices.ContainsFunc(before, func(line string) bool { return strings.Contains(line, "main.ts") }) ||
		!slices.ContainsFunc(before, func(line string) bool { return strings.Contains(line, "postgres") }) {
		t.Fatalf("not running before the kill: %q", before)
	}
	eventually(t, "processes and directory are gone", func() bool {
		return !exists(dir) && !exists(filepath.Join(sharedMemory, filepath.Base(dir))) &&
			len(processesNaming(t, dir)) == 0 && !listens(t, service)
	})
}

// Proves that the database runs without Deno, and the functions without
// PostgreSQL, each with what of the APIs needs it alone; that what is left out
// refuses and does not hang; and that a self-hosted project has no such parts.
func TestPartsStartAlone(t *testing.T) {
	t.Parallel()
	startPart := func(parts Parts) *Stack {
		s, err := Start(t.Context(), Options{Parts: parts, Articles: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(s.super.server); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left behind: %v", s.super.server, err)
			}
			if _, err := os.Stat(s.dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is left behind: %v", s.dir, err)
			}
		})
		return s
	}
	// What each project answers: its SQL endpoint, its data API, its function,
	// and a deployment.
	for name, c := range map[string]struct {
		parts                     Parts
		sql, rest, invoke, deploy bool
		absent                    string // a program that must not run
	}{
		"the database":  {Database, true, true, false, false, "deno"},
		"the functions": {Functions, false, false, true, true, "postgres"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startPart(c.parts)
			token := []string{"Authorization", "Bearer " + s.AccessToken, "Content-Type", "application/json"}
			project := s.APIURL + "/v1/projects/" + s.ProjectRef
			if got := send(t, http.MethodPost, project+"/database/query", `{"query": "select 1"}`, token...); (got.status == 201) != c.sql {
				t.Errorf("a query: %d %s", got.status, got.body)
			}
			if got := send(t, http.MethodGet, s.ProjectURL+"/rest/v1/articles?limit=1", "", "apikey", s.SecretKey); (got.status == 200) != c.rest {
				t.Errorf("the data API: %d %s", got.status, got.body)
			}
			// Without the database it fails, but it runs.
			got := send(t, http.MethodPost, s.ProjectURL+"/functions/v1/alert-processor", "{}", "Authorization", "Bearer "+s.AnonKey)
			if (got.status != 404) != c.invoke {
				t.Errorf("the function: %d %s", got.status, got.body)
			}
			if err := s.DeployFunction(t.Context(), "more", map[string]string{"index.ts": `Deno.serve(() => new Response("more"))`}, false); (err == nil) != c.deploy {
				t.Errorf("a deployment: %v", err)
			}
			if got := send(t, http.MethodGet, project+"/secrets", "", token...); got.status != 200 {
				t.Errorf("the secrets: %d %s", got.status, got.body)
			}
			for _, line := range processesNaming(t, s.dir) {
				if strings.Contains(filepath.Base(strings.Fields(line)[0]), c.absent) {
					t.Errorf("%s runs: %s", c.absent, line)
				}
			}
		})
	}
	if s, err := Start(t.Context(), Options{SelfHosted: true, Parts: Database}); err == nil {
		_ = s.Close()
		t.Error("a self-hosted project started without its functions")
	}
}

// Proves that a stack that cannot start leaves nothing behind, and says why.
func TestStartFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := Start(ctx, Options{})
	if !errors.Is(err, context.Canceled) || s != nil {
		t.Errorf("Start = %v, %v", s, err)
	}
}

// Proves that the project's URL can be made to fail by a middleware, before and
// after the work was done, and that it works again without it.
func TestInterceptProject(t *testing.T) {
	other := spare(t)
	t.Cleanup(func() {
		other.InterceptProject(nil)
		_, _ = other.Admin().Exec(context.Background(), `delete from public.system_logs where type = 'intercepted'`)
	})
	count := func() int {
		var n int
		if err := other.Admin().QueryRow(t.Context(), "select count(*) from public.system_logs where type = 'intercepted'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	insert := func() (int, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, other.ProjectURL+"/rest/v1/system_logs",
			strings.NewReader(`{"type":"intercepted","message":"m"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("apikey", other.SecretKey)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		_ = response.Body.Close()
		return response.StatusCode, nil
	}
	other.InterceptProject(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	if status, err := insert(); status != 502 || count() != 0 {
		t.Errorf("before the work: %d, %v, %d rows", status, err, count())
	}
	other.InterceptProject(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
	})
	if status, err := insert(); err == nil || count() != 1 {
		t.Errorf("after the work: %d, %v, %d rows", status, err, count())
	}
	other.InterceptProject(nil)
	if status, err := insert(); status != 201 || count() != 2 {
		t.Errorf("without: %d, %v, %d rows", status, err, count())
	}
}

// Proves that requests wait in the queue while pg_net's worker is stopped, and
// that they are sent when it is back.
func TestNetWorkerSwitch(t *testing.T) {
	s := spare(t)
	url, calls := signals(t)
	s.StopNetWorker()
	if _, err := s.Admin().Exec(t.Context(), `select net.http_post($1::text || '/queued')`, url); err != nil {
		t.Fatal(err)
	}
	var queued int
	if err := s.Admin().QueryRow(t.Context(), `select count(*) from net.http_request_queue`).Scan(&queued); err != nil || queued != 1 {
		t.Errorf("%d in the queue, %v", queued, err)
	}
	if err := s.StartNetWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, calls); got != "/queued" {
		t.Errorf("sent %s", got)
	}
}

// pid returns the process of a slug's present worker.
func pid(t *testing.T, slug string) string {
	t.Helper()
	shared(t).gateway.mu.Lock()
	defer shared(t).gateway.mu.Unlock()
	wk := shared(t).gateway.current[slug]
	if wk == nil {
		t.Fatalf("%s has no process", slug)
	}
	return strconv.Itoa(wk.process.cmd.Process.Pid)
}
