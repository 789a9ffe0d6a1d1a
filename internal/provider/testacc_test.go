package provider_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/backup"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// The environment that points the acceptance tests at a project which they
// have not started, beside the provider's own variables. The tests delete the
// project's database, so it has to be named twice.
const (
	// envTestProject repeats what SUPABASE_PROJECT_REF says: the reference of a
	// hosted project, or the word for a self-hosted one.
	envTestProject = "AIMINDSET_TESTACC_PROJECT"
	// For a self-hosted project: its functions directory and its env file, the
	// gateway's address as the database sees it, and the restart command as a
	// list in JSON.
	envTestFunctions = "AIMINDSET_TESTACC_FUNCTIONS_DIR"
	envTestEnvFile   = "AIMINDSET_TESTACC_ENV_FILE"
	envTestURL       = "AIMINDSET_TESTACC_URL"
	envTestRestart   = "AIMINDSET_TESTACC_RESTART"
)

// foreign is a project that the environment names.
type foreign struct{ stack.Foreign }

func (f *foreign) selfHosted() bool { return f.ProjectRef == backup.SelfHostedRef }

// readForeign reads the project that the environment names; nil when it names
// none.
func readForeign(getenv func(string) string) (*foreign, error) {
	name := getenv(envTestProject)
	if name == "" {
		return nil, nil
	}
	f := &foreign{stack.Foreign{
		ProjectRef: getenv("SUPABASE_PROJECT_REF"), DatabaseURL: getenv("SUPABASE_DB_URL"),
		AnonKey: getenv("SUPABASE_ANON_KEY"),
	}}
	if f.ProjectRef != name {
		return nil, fmt.Errorf("the tests delete the database of the project that they run against, and the project is not named twice: %s is %q and SUPABASE_PROJECT_REF %q", envTestProject, name, f.ProjectRef)
	}
	needed := map[string]string{"SUPABASE_DB_URL": f.DatabaseURL}
	if f.selfHosted() {
		f.FunctionsDir, f.EnvFile, f.ProjectURL = getenv(envTestFunctions), getenv(envTestEnvFile), getenv(envTestURL)
		needed["SUPABASE_ANON_KEY"], needed[envTestFunctions], needed[envTestEnvFile], needed[envTestURL] = f.AnonKey, f.FunctionsDir, f.EnvFile, f.ProjectURL
		needed[envTestRestart] = getenv(envTestRestart)
	} else {
		f.AccessToken = getenv("SUPABASE_ACCESS_TOKEN")
		f.APIURL, f.ProjectURL = getenv("SUPABASE_API_URL"), getenv("SUPABASE_PROJECT_URL")
		if f.APIURL == "" {
			f.APIURL = "https://api.supabase.com"
		}
		if f.ProjectURL == "" {
			f.ProjectURL = "https://" + f.ProjectRef + ".supabase.co"
		}
		needed["SUPABASE_ACCESS_TOKEN"] = f.AccessToken
	}
	for variable, value := range needed {
		if value == "" {
			return nil, fmt.Errorf("the tests against project %s need %s", f.ProjectRef, variable)
		}
	}
	if f.selfHosted() {
		if err := json.Unmarshal([]byte(getenv(envTestRestart)), &f.RestartCommand); err != nil {
			return nil, fmt.Errorf("%s has to be a list of strings in JSON: %w", envTestRestart, err)
		}
	}
	return f, nil
}

// foreignTarget returns the project that the environment names, or nil.
func foreignTarget(t *testing.T) *foreign {
	t.Helper()
	f, err := readForeign(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// foreignTurn is held by the one test that has the foreign project.
var foreignTurn sync.Mutex

// attach makes the foreign project what the local stack would be, and leaves it
// to this test until its end.
func (f *foreign) attach(t *testing.T, opts stack.Options) *project {
	t.Helper()
	needTerraform(t)
	foreignTurn.Lock()
	t.Cleanup(foreignTurn.Unlock)
	s, err := stack.Attach(t.Context(), f.Foreign, opts)
	if err != nil {
		t.Fatalf("prepare project %s: %v", f.ProjectRef, err)
	}
	p := closing(t, s)
	sample, err := stack.SampleFunctions()
	if err != nil {
		t.Fatal(err)
	}
	for slug, files := range sample {
		p.provideFunction(slug, files)
	}
	return p
}

// provideFunction deploys a function of the application if it is not there.
func (p *project) provideFunction(slug string, files map[string]string) {
	p.t.Helper()
	functions, err := p.api().ListFunctions(p.t.Context(), p.ProjectRef)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range functions {
		if f.Slug == slug {
			return
		}
	}
	d := supabase.Deployment{Slug: slug, Name: slug, Entrypoint: slug + "/index.ts", VerifyJWT: true, Files: map[string][]byte{}}
	for name, content := range files {
		d.Files[slug+"/"+name] = []byte(content)
	}
	if _, err := p.api().DeployFunction(p.t.Context(), p.ProjectRef, d); err != nil {
		p.t.Fatal(err)
	}
}

// TestForeignTarget proves that the tests refuse a project which the
// environment does not name twice, or does not describe, before they touch it;
// and that they do not take one by accident from the provider's own variables.
func TestForeignTarget(t *testing.T) {
	t.Parallel()
	const ref = "abcdefghijklmnopqrst"
	hosted := map[string]string{"SUPABASE_PROJECT_REF": ref, envTestProject: ref, "SUPABASE_ACCESS_TOKEN": "t", "SUPABASE_DB_URL": "u"}
	own := map[string]string{
		"SUPABASE_PROJECT_REF": backup.SelfHostedRef, envTestProject: backup.SelfHostedRef, "SUPABASE_DB_URL": "u", "SUPABASE_ANON_KEY": "k",
		envTestFunctions: "dir", envTestEnvFile: "env", envTestURL: "http://kong:8000", envTestRestart: `["docker", "restart"]`,
	}
	read := func(environment map[string]string, without, with string) (*foreign, error) {
		return readForeign(func(name string) string {
			if name == without {
				return with
			}
			return environment[name]
		})
	}
	for what, environment := range map[string]map[string]string{"hosted": hosted, "self-hosted": own} {
		f, err := read(environment, "", "")
		if err != nil || f == nil || f.ProjectRef != environment[envTestProject] || f.selfHosted() != (what == "self-hosted") {
			t.Errorf("%s: got %+v, %v", what, f, err)
		}
		for variable := range environment {
			f, err := read(environment, variable, "")
			if variable == envTestProject {
				if f != nil || err != nil {
					t.Errorf("%s without %s: got %+v, %v, want the local stack", what, variable, f, err)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s without %s is taken", what, variable)
			}
		}
		if _, err := read(environment, envTestProject, "zyxwvutsrqponmlkjihg"); err == nil {
			t.Errorf("%s: a project that is named once is taken", what)
		}
	}
	if _, err := read(own, envTestRestart, "docker restart"); err == nil {
		t.Error("a restart command that is not a list is taken")
	}
}

// TestAttachRefuses proves that a project with tables of its own is left as it
// is, whatever the environment says.
func TestAttachRefuses(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 3, SelfHosted: true})
	f := stack.Foreign{ProjectRef: p.ProjectRef, ProjectURL: p.ProjectURL, DatabaseURL: p.DatabaseURL}
	for _, own := range []string{
		"create table public.customers (id int)",
		"drop table public.customers; create function public.ours() returns int language sql as 'select 1'",
		"drop function public.ours(); comment on table public.articles is 'the real one'",
	} {
		p.sql(own)
		if _, err := stack.Attach(t.Context(), f, stack.Options{Articles: 1}); !errors.Is(err, stack.ErrNotDisposable) {
			t.Errorf("after %s: %v", own, err)
		}
		if rows := p.value("select count(*) from public.articles"); rows != "3" {
			t.Errorf("after %s the project has %s articles left", own, rows)
		}
	}
}

// runForeign runs tests of this package in a process of its own, whose
// environment names a project that this process has started.
func runForeign(t *testing.T, tests string, environ ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run="+tests, "-test.v", "-test.parallel=1")
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SUPABASE_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, environ...)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// TestForeignProject proves that the acceptance bodies run against a project
// which the environment names: one that this test has started stands for it,
// and shows that it was the one. A test that needs the local stack fails there
// instead of passing over something else.
func TestForeignProject(t *testing.T) {
	t.Parallel()
	const bodies = "^(TestLifecycle|TestRotation)$"
	t.Run("hosted", func(t *testing.T) {
		t.Parallel()
		p := start(t, stack.Options{Articles: 2, RateLimit: -1})
		environ := append(p.EnvironWithDatabase(), envTestProject+"="+p.ProjectRef)
		output, err := runForeign(t, bodies, environ...)
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		deployed := 0
		for _, call := range p.APICalls() {
			if call.Method == http.MethodPost && strings.HasSuffix(call.Path, "/functions/deploy") {
				deployed++
			}
		}
		for _, body := range []string{"TestLifecycle/management_api", "TestLifecycle/database_url", "TestRotation/management_api"} {
			if !strings.Contains(output, "--- PASS: "+body) {
				t.Errorf("%s did not run:\n%s", body, output)
			}
		}
		if deployed < 3 || p.value("select count(*) from public.articles") != "1000" {
			t.Errorf("another project was used: here %d functions were deployed", deployed)
		}
		if output, err := runForeign(t, "^TestClockChanges$", environ...); err == nil || !strings.Contains(output, "only the local stack can") {
			t.Errorf("a test of the local stack ran: %v\n%s", err, output)
		}
	})
	t.Run("self-hosted", func(t *testing.T) {
		t.Parallel()
		p := start(t, stack.Options{Articles: 2, SelfHosted: true})
		restart, err := json.Marshal(p.RestartCommand)
		if err != nil {
			t.Fatal(err)
		}
		output, err := runForeign(t, bodies,
			"SUPABASE_PROJECT_REF="+backup.SelfHostedRef, envTestProject+"="+backup.SelfHostedRef,
			"SUPABASE_DB_URL="+p.DatabaseURL, "SUPABASE_ANON_KEY="+p.AnonKey,
			envTestFunctions+"="+p.FunctionsDir, envTestEnvFile+"="+p.EnvFile, envTestURL+"="+p.ProjectURL, envTestRestart+"="+string(restart))
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		for _, body := range []string{"TestLifecycle/self_hosted", "TestRotation/self_hosted"} {
			if !strings.Contains(output, "--- PASS: "+body) {
				t.Errorf("%s did not run:\n%s", body, output)
			}
		}
		if strings.Contains(output, "management_api") || p.value("select count(*) from public.articles") != "1000" {
			t.Errorf("another project was used:\n%s", output)
		}
	})
}
