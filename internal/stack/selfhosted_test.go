package stack

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startSelfHosted starts a self-hosted project that ends with the test.
func startSelfHosted(t *testing.T, opts Options) *Stack {
	t.Helper()
	opts.SelfHosted = true
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// call posts to a function and returns the answer's status, error code and body.
func call(t *testing.T, s *Stack, slug string, header http.Header) (int, string, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.ProjectURL+"/functions/v1/"+slug, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Sb-Error-Code"), string(body)
}

// TestSelfHostedFunctions proves what sets a self-hosted project apart: a
// function is served as soon as its files are there, a process goes on with the
// code and the environment that it began with, an own variable wins over the
// env file, and only a recreated container has read the file again.
func TestSelfHostedFunctions(t *testing.T) {
	t.Parallel()
	s := startSelfHosted(t, Options{Articles: 1})
	put := func(answer string) {
		t.Helper()
		if err := s.DeployFunction(t.Context(), "hello", map[string]string{
			"index.ts": `import { answer } from "./lib/answer.ts"; Deno.serve(() => new Response(answer + " " + (Deno.env.get("ADDED") ?? "nothing") + " " + (Deno.env.get("SUPABASE_URL") === ` + "`" + s.ProjectURL + "`" + `)));`, "lib/answer.ts": `export const answer = "` + answer + `";`,
		}, false); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(slug string, status int, contains string) {
		t.Helper()
		if got, _, body := call(t, s, slug, nil); got != status || !strings.Contains(body, contains) {
			t.Errorf("%s answered %d %s, want %d …%s…", slug, got, body, status, contains)
		}
	}
	expect("hello", 500, `"msg":"InvalidWorkerCreation`)
	expect("", 400, "missing function name")
	expect("..%2fmain", 500, "could not find an appropriate entrypoint")
	put("first")
	expect("hello", 200, "first nothing true")
	env, err := os.ReadFile(s.EnvFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.EnvFile, append(env, "ADDED=\"a $5 'note'\"\nSUPABASE_URL=http://elsewhere\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	put("second")
	expect("hello", 200, "first nothing true") // the process that runs has the old of both
	s.KillFunction("hello")
	expect("hello", 200, "second nothing true") // another process in the same container
	restart := exec.CommandContext(t.Context(), s.RestartCommand[0], s.RestartCommand[1:]...)
	if output, err := restart.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	expect("hello", 200, "second a ")
	put("throw")
	if err := s.DeployFunction(t.Context(), "hello", map[string]string{"index.ts": "throw new Error('at its start')"}, false); err != nil {
		t.Fatal(err)
	}
	s.KillFunction("hello")
	expect("hello", 500, "worker boot error")
	if calls := s.APICalls(); len(calls) > 0 || s.APIURL != "" || s.AccessToken != "" {
		t.Errorf("a self-hosted project has a Management API: %q %v", s.APIURL, calls)
	}
}

// TestSelfHostedVerifyJWT proves that the one switch holds for all functions:
// with it, no request without a JWT of the project gets to any of them.
func TestSelfHostedVerifyJWT(t *testing.T) {
	t.Parallel()
	s := startSelfHosted(t, Options{Articles: 1, VerifyJWT: true})
	for _, slug := range []string{"one", "two"} {
		if err := s.DeployFunction(t.Context(), slug, map[string]string{"index.ts": "Deno.serve(() => new Response('ok'))"}, false); err != nil {
			t.Fatal(err)
		}
		if status, code, body := call(t, s, slug, nil); status != 401 || code != "UNAUTHORIZED_NO_AUTH_HEADER" || !strings.Contains(body, `"msg":"Missing authorization header"`) {
			t.Errorf("without a JWT %s answered %d %s %s", slug, status, code, body)
		}
		if status, _, _ := call(t, s, slug, http.Header{"Authorization": {"Bearer " + s.PublishableKey}}); status != 401 {
			t.Errorf("a key that is no JWT got %d", status)
		}
		if status, _, body := call(t, s, slug, http.Header{"Authorization": {"Bearer " + s.AnonKey}}); status != 200 || body != "ok" {
			t.Errorf("with a JWT %s answered %d %s", slug, status, body)
		}
	}
}

// TestCLIStack proves what is different in the stack of "supabase start": a request gets
// the code of that moment, with a process of its own; and the environment and the requirement of a JWT, which is the
// default, are those of the start.
func TestCLIStack(t *testing.T) {
	t.Parallel()
	s := startSelfHosted(t, Options{Articles: 1, CLIStack: true})
	put := func(answer string) {
		t.Helper()
		if err := s.DeployFunction(t.Context(), "hello", map[string]string{
			"index.ts": `const started = crypto.randomUUID(); Deno.serve(() => new Response("` + answer + ` " + (Deno.env.get("ADDED") ?? "nothing") + " " + started));`,
		}, false); err != nil {
			t.Fatal(err)
		}
	}
	jwt := http.Header{"Authorization": {"Bearer " + s.AnonKey}}
	expect := func(header http.Header, status int, contains string) string {
		t.Helper()
		got, _, body := call(t, s, "hello", header)
		if got != status || !strings.Contains(body, contains) {
			t.Errorf("it answered %d %s, want %d …%s…", got, body, status, contains)
		}
		return body
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect(jwt, 404, "Function not found")
	put("first")
	expect(nil, 401, `"code":"UNAUTHORIZED_NO_AUTH_HEADER"`)
	if former := expect(jwt, 200, "first nothing"); former == expect(jwt, 200, "first nothing") {
		t.Error("two requests have the same process")
	}
	put("second")
	write(s.EnvFile, "ADDED=more\n")
	write(filepath.Join(filepath.Dir(s.FunctionsDir), "config.toml"), "[functions.other]\nverify_jwt = false\n[functions.hello] # ours\nverify_jwt = false\n[auth]\n")
	expect(jwt, 200, "second nothing")
	expect(nil, 401, "UNAUTHORIZED_NO_AUTH_HEADER")
	if err := s.RecreateFunctions(); err != nil {
		t.Fatal(err)
	}
	expect(nil, 200, "second more")
	if err := s.DeployFunction(t.Context(), "hello", map[string]string{"index.ts": "throw new Error('at its start')"}, false); err != nil {
		t.Fatal(err)
	}
	expect(nil, 503, `"code":"BOOT_ERROR"`)
}
