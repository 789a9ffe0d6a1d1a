package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// private returns a gateway with one function, f, and secrets of its own: in the
// shared one, another test's secret starts a new process of every function.
func private(t *testing.T, source string, l limits) (g *gateway, url string) {
	t.Helper()
	store, err := newFunctionStore(shared(t).ProjectRef, t.TempDir(), shared(t).store.deno)
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.deploy(t.Context(), deployment{
		slug: "f", entrypoint: "f/index.ts", files: map[string][]byte{"f/index.ts": []byte(source)},
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err = newGateway(&shared(t).keys, store, store.deno, l, "project", store.dir,
		func(cmd *exec.Cmd) (*process, error) { return shared(t).super.start(cmd, "KILL", false) })
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		g.close()
		server.Close()
		store.close()
	})
	return g, server.URL + "/functions/v1/f"
}

// stoppedClock is a gateway's clock that a test moves: what is to be done after a
// duration is done when the test says so.
type stoppedClock struct {
	mu    sync.Mutex
	due   map[time.Duration]func()
	added chan struct{} // closed, and replaced, when something is added
}

// stopClock replaces the clock of an unused gateway.
func stopClock(g *gateway) *stoppedClock {
	c := &stoppedClock{due: map[time.Duration]func(){}, added: make(chan struct{})}
	g.after = func(d time.Duration, do func()) func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.due[d] = do
		close(c.added)
		c.added = make(chan struct{})
		return func() bool { return true }
	}
	return c
}

// reach does what is to be done after a duration, as soon as that is known.
func (c *stoppedClock) reach(t *testing.T, d time.Duration) {
	t.Helper()
	limit := time.After(patience)
	for {
		c.mu.Lock()
		do, added := c.due[d], c.added
		delete(c.due, d)
		c.mu.Unlock()
		if do != nil {
			do()
			return
		}
		select {
		case <-added:
		case <-limit:
			t.Fatalf("nothing is to be done after %s", d)
		}
	}
}

// unlimited is limits that no test reaches.
var unlimited = limits{wallClock: time.Hour, idle: time.Hour}

// Proves what verify_jwt lets through: any JWT of the project, by whatever role, its
// publishable and secret keys, and nothing else; with the code and the body of each refusal.
func TestVerifyJWT(t *testing.T) {
	t.Parallel()
	err := shared(t).DeployFunction(t.Context(), "verify-jwt", map[string]string{
		"index.ts": `Deno.serve(() => new Response("reached"));`,
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	foreign := newKeys(now)
	asymmetric := "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiJ9.AAAA"
	none := "eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYW5vbiJ9."
	expired := shared(t).keys.sign(map[string]any{"role": "anon", "exp": now.Add(-time.Minute).Unix()})
	for name, test := range map[string]struct {
		header, value string
		code          string // empty: it passes
		message       string
	}{
		"anon":                     {"Authorization", "Bearer " + shared(t).AnonKey, "", ""},
		"service_role":             {"Authorization", "Bearer " + shared(t).ServiceRoleKey, "", ""},
		"nothing":                  {"X-Other", "x", "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"},
		"secret as apikey":         {"apikey", shared(t).SecretKey, "", ""},
		"publishable as apikey":    {"apikey", shared(t).PublishableKey, "", ""},
		"another secret as apikey": {"apikey", foreign.secret, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"},
		"another secret as bearer": {"Authorization", "Bearer " + foreign.secret, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid Token or Protected Header formatting"},
		"secret as bearer":         {"Authorization", "Bearer " + shared(t).SecretKey, "", ""},
		"publishable as bearer":    {"Authorization", "Bearer " + shared(t).PublishableKey, "", ""},
		"no bearer":                {"Authorization", "Basic eA==", "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid Token or Protected Header formatting"},
		"another project's":        {"Authorization", "Bearer " + foreign.anon, "UNAUTHORIZED_LEGACY_JWT", "Invalid JWT"},
		"expired":                  {"Authorization", "Bearer " + expired, "UNAUTHORIZED_LEGACY_JWT", "Invalid JWT"},
		"asymmetric":               {"Authorization", "Bearer " + asymmetric, "UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT"},
		"algorithm none":           {"Authorization", "Bearer " + none, "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM", "Unsupported JWT algorithm"},
		"JWT as apikey, not auth":  {"apikey", shared(t).AnonKey, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"},
	} {
		got := invoke(t, "verify-jwt", "{}", test.header, test.value)
		if test.code == "" {
			if got.status != 200 || got.body != "reached" {
				t.Errorf("%s: %d %s", name, got.status, got.body)
			}
			continue
		}
		body := decode[struct {
			Code    int
			Message string
		}](t, got)
		if got.status != 401 || got.header.Get("sb-error-code") != test.code || body.Code != 401 || body.Message != test.message {
			t.Errorf("%s: %d %s %s", name, got.status, got.header.Get("sb-error-code"), got.body)
		}
	}
}

// Proves the other answers of the gateway itself: nothing deployed, taken down,
// throttled, and a slug that another one begins with.
func TestNoFunction(t *testing.T) {
	t.Parallel()
	deploy(t, "statuses", `Deno.serve(() => new Response("reached"));`)
	check := func(path string, status int, code string) {
		t.Helper()
		got := invoke(t, path, "")
		if got.status != status || got.header.Get("sb-error-code") != code {
			t.Errorf("%s: %d %s, want %d %s", path, got.status, got.body, status, code)
		}
		if code != "" && decode[map[string]any](t, got)["code"] != code {
			t.Errorf("%s: %s", path, got.body)
		}
	}
	check("statuses", 200, "")
	check("status", 404, "NOT_FOUND")
	check("", 404, "NOT_FOUND")
	for status, want := range map[string]struct {
		status int
		code   string
	}{statusRemoved: {404, "NOT_FOUND"}, statusThrottled: {429, "RATE_LIMIT_EXCEEDED"}, statusActive: {200, ""}} {
		if err := shared(t).SetFunctionStatus("statuses", status); err != nil {
			t.Fatal(err)
		}
		check("statuses", want.status, want.code)
	}
	if api(t, http.MethodDelete, "/functions/statuses", "").status != 200 {
		t.Error("could not delete")
	}
	check("statuses", 404, "NOT_FOUND")
	eventually(t, "the deleted function's process has ended", func() bool { return shared(t).FunctionProcesses("statuses") == 0 })
	if err := shared(t).SetFunctionStatus("statuses", statusActive); err == nil {
		t.Error("a deleted function got a status")
	}
}

// Proves that a function sees the request as on Supabase: method, path without
// the gateway's part, host, query, headers and body, and that its status,
// headers and body come back; both for Deno.serve, in all its forms, and for an
// exported fetch.
func TestRequestAndResponse(t *testing.T) {
	t.Parallel()
	const handler = `async (r: Request) => new Response(
		JSON.stringify([r.method, r.url, r.headers.get("x-test"), await r.text()]), { status: 207, headers: { "x-answer": "yes" } })`
	for i, source := range []string{
		"Deno.serve(" + handler + ");",
		"Deno.serve({ port: 1 }, " + handler + ");",
		"Deno.serve({ handler: " + handler + " });",
		"export default { fetch: " + handler + " };",
	} {
		slug := fmt.Sprintf("style-%d", i)
		deploy(t, slug, source)
		got := invoke(t, slug+"/below?a=1&b=%20", "corpo ção", "X-Test", "t")
		want, err := json.Marshal([]string{"POST", shared(t).ProjectURL + "/" + slug + "/below?a=1&b=%20", "t", "corpo ção"})
		if err != nil {
			t.Fatal(err)
		}
		var sent, seen []string
		_ = json.Unmarshal(want, &sent)
		_ = json.Unmarshal([]byte(got.body), &seen)
		if got.status != 207 || got.header.Get("X-Answer") != "yes" || !slices.Equal(sent, seen) {
			t.Errorf("%s: %d %s, want %s", source, got.status, got.body, want)
		}
	}
}

// Proves that a function has Supabase's variables and the project's secrets in
// its environment, and nothing of the machine: no variable, no file, no program;
// and that no secret is in a process's arguments.
func TestIsolation(t *testing.T) {
	t.Parallel()
	if err := shared(t).SetSecret("ISOLATION_SECRET", "canary-9f1c"); err != nil {
		t.Fatal(err)
	}
	deploy(t, "isolation", `
		async function attempt(what: () => unknown): Promise<string> {
			try { await what(); return "allowed"; } catch (e) { return (e as Error).name; }
		}
		Deno.serve(async () => Response.json({
			env: Deno.env.toObject(),
			args: Deno.args,
			attempts: [
				await attempt(() => Deno.readTextFile("/etc/passwd")),
				await attempt(() => Deno.readTextFile(new URL("../../../../main.ts", import.meta.url))),
				await attempt(() => Deno.writeTextFile(new URL("x", import.meta.url), "x")),
				await attempt(() => new Deno.Command("true").output()),
				await attempt(() => Deno.readTextFile(new URL(import.meta.url))),
			],
		}));`)
	got := decode[struct {
		Env      map[string]string
		Args     []string
		Attempts []string
	}](t, invoke(t, "isolation", ""))
	for name, want := range map[string]string{
		"SUPABASE_URL": shared(t).ProjectURL, "SUPABASE_ANON_KEY": shared(t).AnonKey, "SUPABASE_SERVICE_ROLE_KEY": shared(t).ServiceRoleKey,
		"SUPABASE_PUBLISHABLE_KEYS": `{"default":"` + shared(t).PublishableKey + `"}`,
		"SUPABASE_SECRET_KEYS":      `{"default":"` + shared(t).SecretKey + `"}`,
		"SUPABASE_DB_URL":           shared(t).DatabaseURL, "ISOLATION_SECRET": "canary-9f1c", leakedVariable: "",
	} {
		if got.Env[name] != want {
			t.Errorf("%s = %q", name, got.Env[name])
		}
	}
	if len(got.Args) != 0 {
		t.Errorf("arguments: %q", got.Args)
	}
	if want := []string{"NotCapable", "NotCapable", "NotCapable", "NotCapable", "allowed"}; !slices.Equal(got.Attempts, want) {
		t.Errorf("attempts: %q, want %q", got.Attempts, want)
	}
	line, err := os.ReadFile("/proc/" + pid(t, "isolation") + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"canary-9f1c", shared(t).SecretKey, shared(t).ServiceRoleKey, shared(t).AnonKey, shared(t).DatabaseURL} {
		if strings.Contains(string(line), secret) {
			t.Errorf("the arguments hold a secret: %q", line)
		}
	}
}

// Proves that one process serves a function's requests, begins with the first
// one (all that come at the same time wait for it), and keeps its state.
func TestColdStart(t *testing.T) {
	t.Parallel()
	g, function := private(t, `let n = 0; console.log("cold start"); Deno.serve(() => new Response(String(++n)));`, unlimited)
	if n := g.processes("f"); n != 0 {
		t.Errorf("%d processes before the first request", n)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var seen []string
	for range 8 {
		wg.Go(func() {
			got := send(t, http.MethodPost, function, "")
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, got.body)
		})
	}
	wg.Wait()
	slices.Sort(seen)
	if want := []string{"1", "2", "3", "4", "5", "6", "7", "8"}; !slices.Equal(seen, want) {
		t.Errorf("answers: %q", seen)
	}
	if n := g.processes("f"); n != 1 {
		t.Errorf("%d processes", n)
	}
	if log := g.log("f"); strings.Count(log, "cold start") != 1 {
		t.Errorf("log: %q", log)
	}
}

// Proves that a secret applies to the next request without a deploy, while the
// process with the old one finishes its request and its background work, hears
// beforeunload, and ends.
func TestSecretsApplyAndOldProcessDrains(t *testing.T) {
	t.Parallel()
	url, calls := signals(t)
	source := `
		const value = Deno.env.get("DRAIN_VALUE");
		addEventListener("beforeunload", (e) => EdgeRuntime.waitUntil(fetch("` + url + `/unload/" + e.detail.reason + "/" + value)));
		Deno.serve(async (r) => {
			if (new URL(r.url).search === "?slow") {
				EdgeRuntime.waitUntil((async () => {
					await fetch("` + url + `/background/" + value);
					await fetch("` + url + `/finished/" + value);
				})());
				await fetch("` + url + `/request/" + value);
			}
			return new Response(value);
		});`
	g, function := private(t, source, unlimited)
	set := func(value string) {
		t.Helper()
		if err := g.store.(*functionStore).setSecrets(map[string]string{"DRAIN_VALUE": value}); err != nil {
			t.Fatal(err)
		}
	}
	set("old")
	slow := make(chan reply, 1)
	go func() { slow <- send(t, http.MethodPost, function+"?slow", "") }()
	first := receive(t, calls) // it is busy with the old value
	set("new")
	if got := send(t, http.MethodPost, function, ""); got.body != "new" {
		t.Errorf("after the change: %q", got.body)
	}
	if n := g.processes("f"); n != 2 {
		t.Errorf("%d processes, want the old and the new", n)
	}
	rest := []string{first, receive(t, calls), receive(t, calls)}
	slices.Sort(rest)
	if want := []string{"/background/old", "/finished/old", "/request/old"}; !slices.Equal(rest, want) {
		t.Errorf("the old process did %q", rest)
	}
	if got := <-slow; got.status != 200 || got.body != "old" {
		t.Errorf("the old request: %d %q", got.status, got.body)
	}
	if got := receive(t, calls); got != "/unload/termination/old" {
		t.Errorf("then %q", got)
	}
	eventually(t, "one process", func() bool { return g.processes("f") == 1 })
}

// Proves that work under waitUntil goes on after the response, and that a caller
// who hangs up does not stop a handler.
func TestWorkGoesOn(t *testing.T) {
	t.Parallel()
	url, calls := signals(t)
	deploy(t, "goes-on", `
		Deno.serve(async (r) => {
			const work = (async () => { await fetch("`+url+`/a"); await fetch("`+url+`/b"); })();
			if (new URL(r.url).search === "?wait") await work; else EdgeRuntime.waitUntil(work);
			return new Response("accepted", { status: 202 });
		});`)
	if got := invoke(t, "goes-on", ""); got.status != 202 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if a, b := receive(t, calls), receive(t, calls); a != "/a" || b != "/b" {
		t.Errorf("after the response: %s %s", a, b)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, shared(t).ProjectURL+"/functions/v1/goes-on?wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	a := receive(t, calls)
	hangUp()
	if err := <-failed; err == nil {
		t.Error("the caller did not hang up")
	}
	if b := receive(t, calls); a != "/a" || b != "/b" {
		t.Errorf("without its caller: %s %s", a, b)
	}
}

// Proves what a caller sees when a process is killed half-way, and that the next
// request gets a new process.
func TestKillFunction(t *testing.T) {
	t.Parallel()
	url, calls := signals(t)
	deploy(t, "killed", `Deno.serve(async (r) => {
		if (new URL(r.url).search !== "") { await fetch("`+url+`/busy"); await new Promise(() => {}); }
		return new Response("fine");
	});`)
	busy := make(chan reply, 1)
	go func() { busy <- invoke(t, "killed?busy", "") }()
	receive(t, calls)
	shared(t).KillFunction("killed")
	if got := <-busy; got.status != 546 || got.header.Get("sb-error-code") != "WORKER_LIMIT" || decode[map[string]string](t, got)["code"] != "WORKER_LIMIT" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if n := shared(t).FunctionProcesses("killed"); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if got := invoke(t, "killed", ""); got.body != "fine" {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

// Proves that a function that cannot start is a 503 that does not tell why,
// that its log does, and that a function can be made to fail so and to recover.
func TestBootError(t *testing.T) {
	t.Parallel()
	deploy(t, "boot-throws", `throw new Error("no config"); Deno.serve(() => new Response());`)
	deploy(t, "boot-nothing", `export const nothing = 1;`)
	deploy(t, "boot-exits", `Deno.exit(3);`)
	deploy(t, "boot-broken", `Deno.serve(() => new Response("fine"));`)
	shared(t).BreakFunction("boot-broken", true)
	for slug, text := range map[string]string{
		"boot-throws": "no config", "boot-nothing": "neither calls Deno.serve", "boot-exits": "", "boot-broken": "made to fail",
	} {
		got := invoke(t, slug, "")
		if got.status != 503 || got.header.Get("sb-error-code") != "BOOT_ERROR" || decode[map[string]string](t, got)["message"] != "Function failed to start (please check logs)" {
			t.Errorf("%s: %d %s", slug, got.status, got.body)
		}
		if log := shared(t).FunctionLogs(slug); !strings.Contains(log, text) {
			t.Errorf("%s: log %q", slug, log)
		}
	}
	shared(t).BreakFunction("boot-broken", false)
	if got := invoke(t, "boot-broken", ""); got.body != "fine" {
		t.Errorf("recovered: %d %s", got.status, got.body)
	}
}

// Proves that an error that a handler does not catch is a 500 of the runtime,
// that any 5xx is marked as the function's, and that both leave it running.
func TestFunctionErrors(t *testing.T) {
	t.Parallel()
	deploy(t, "errors", `Deno.serve((r) => {
		if (new URL(r.url).search === "?throw") throw new Error("unhandled");
		return new Response("own", { status: 500 });
	});`)
	if got := invoke(t, "errors?throw", ""); got.status != 500 || got.body != "Internal Server Error" || got.header.Get("sb-error-code") != "EDGE_FUNCTION_ERROR" {
		t.Errorf("thrown: %d %s %s", got.status, got.body, got.header.Get("sb-error-code"))
	}
	if got := invoke(t, "errors", ""); got.status != 500 || got.body != "own" || got.header.Get("sb-error-code") != "EDGE_FUNCTION_ERROR" {
		t.Errorf("returned: %d %s", got.status, got.body)
	}
	eventually(t, "the error in the function's log", func() bool {
		return strings.Contains(shared(t).FunctionLogs("errors"), "unhandled")
	})
}

// Proves that a platform limit tells the function its reason, gives it the grace
// for a trace, and ends it even if it is busy.
func TestTerminateFunction(t *testing.T) {
	t.Parallel()
	url, calls := signals(t)
	g, function := private(t, `
		addEventListener("beforeunload", (e) => EdgeRuntime.waitUntil(fetch("`+url+`/" + e.detail.reason)));
		Deno.serve(async () => { await fetch("`+url+`/busy"); await new Promise(() => {}); return new Response(); });`, unlimited)
	clock := stopClock(g)
	busy := make(chan reply, 1)
	go func() { busy <- send(t, http.MethodPost, function, "") }()
	receive(t, calls)
	done := make(chan struct{})
	go func() {
		g.terminate("f", "memory", time.Second)
		close(done)
	}()
	if got := receive(t, calls); got != "/memory" {
		t.Errorf("reason: %s", got)
	}
	if n := g.processes("f"); n != 1 {
		t.Errorf("%d processes within the grace", n)
	}
	clock.reach(t, time.Second)
	if got := <-busy; got.status != 546 {
		t.Errorf("%d %s", got.status, got.body)
	}
	<-done
}

// Proves the limits of time: a response that does not begin is a 504 while the
// handler goes on, an idle instance is dropped at half of its life, and a busy
// one is warned before it is killed.
func TestTimeLimits(t *testing.T) {
	t.Parallel()
	url, calls := signals(t)
	source := `
		addEventListener("beforeunload", (e) => EdgeRuntime.waitUntil(fetch("` + url + `/" + e.detail.reason)));
		Deno.serve(async (r) => {
			if (new URL(r.url).search === "?busy") { await fetch("` + url + `/busy"); await new Promise(() => {}); }
			return new Response("fine");
		});`
	life := limits{wallClock: 100 * time.Second, idle: time.Hour}
	g, function := private(t, source, life)
	clock := stopClock(g)
	if got := send(t, http.MethodPost, function, ""); got.body != "fine" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	clock.reach(t, 50*time.Second)
	if got := receive(t, calls); got != "/early_drop" {
		t.Errorf("an idle instance: %s", got)
	}
	eventually(t, "the idle instance is gone", func() bool { return g.processes("f") == 0 })

	g, function = private(t, source, life)
	clock = stopClock(g)
	killed := make(chan reply, 1)
	go func() { killed <- send(t, http.MethodPost, function+"?busy", "") }()
	if got := receive(t, calls); got != "/busy" {
		t.Errorf("a busy instance: %s", got)
	}
	clock.reach(t, 50*time.Second)
	clock.reach(t, 90*time.Second)
	if got := receive(t, calls); got != "/wall_clock" {
		t.Errorf("a busy instance at nine tenths: %s", got)
	}
	clock.reach(t, 100*time.Second)
	if got := <-killed; got.status != 546 {
		t.Errorf("a busy instance: %d %s", got.status, got.body)
	}

	g, function = private(t, source, limits{wallClock: time.Hour, idle: 200 * time.Millisecond})
	timedOut := make(chan reply, 1)
	go func() { timedOut <- send(t, http.MethodPost, function+"?busy", "") }()
	receive(t, calls)
	if got := <-timedOut; got.status != 504 || got.header.Get("sb-error-code") != "IDLE_TIMEOUT" {
		t.Errorf("no response: %d %s", got.status, got.body)
	}
	if n := g.processes("f"); n != 1 {
		t.Errorf("%d processes after the timeout", n)
	}
}
