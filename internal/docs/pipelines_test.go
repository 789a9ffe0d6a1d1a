package docs_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/aimindset/terraform-provider-aimindset/internal/schedule"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// workflow is a pipeline of GitHub Actions.
type workflow struct {
	On struct {
		Schedule []struct {
			Cron string
		}
	}
	Permissions map[string]string
	Jobs        map[string]struct {
		Steps []step
	}
}

type step struct {
	Uses, Run, If string
	Env           map[string]string
}

// gitLab is one job of a pipeline of GitLab.
type gitLab struct {
	Stage     string
	Script    []string
	Rules     []map[string]string
	Artifacts struct {
		When  string
		Paths []string
	}
}

// parse reads YAML, and fails if it has keys twice or is no YAML.
func parse(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// expression is what GitHub replaces in a workflow.
var expression = regexp.MustCompile(`\$\{\{ *([\w.]+) *\}\}`)

// TestExampleWorkflows proves of every workflow below examples that it is one: it runs
// in the morning, after the night's backup, may only read the repository, uses no action
// that can be changed under it, and puts no value of an expression into a script, where
// it would be part of the script.
func TestExampleWorkflows(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join(root, "examples", "*", ".github", "workflows", "*.yml"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("the workflows are %v, %v", paths, err)
	}
	night := time.Date(2026, 11, 26, 3, 0, 0, 0, time.FixedZone("São Paulo", -3*60*60))
	for _, path := range paths {
		var w workflow
		parse(t, path, &w)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(w.On.Schedule) != 1 {
			t.Errorf("%s has %d schedules", path, len(w.On.Schedule))
			continue
		}
		cron, err := schedule.Parse(w.On.Schedule[0].Cron)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		next := cron.Next(time.UTC, night, 1)
		if after := next[0].In(night.Location()); after.Hour() < 4 || after.Hour() > 12 {
			t.Errorf("%s runs at %s", path, after)
		}
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s may %v", path, w.Permissions)
		}
		for _, use := range usesPattern.FindAllStringSubmatch(string(text), -1) {
			if !pinnedPattern.MatchString(use[1]) {
				t.Errorf("%s uses %s, which is not pinned by a digest with its version beside it", path, use[1])
			}
		}
		scripts := 0
		for _, job := range w.Jobs {
			for _, step := range job.Steps {
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s puts an expression into a script: %s", path, step.Run)
				}
				if step.Run != "" {
					scripts++
				}
			}
		}
		if scripts == 0 {
			t.Errorf("%s runs nothing", path)
		}
	}
}

// channel is a Slack channel.
type channel struct {
	mu       sync.Mutex
	messages []string
}

func (c *channel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body))
	_, _ = w.Write([]byte("ok"))
}

// take returns the messages since the last look.
func (c *channel) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	messages := c.messages
	c.messages = nil
	return messages
}

// runWorkflow runs the scripts of a workflow's only job as GitHub's runner does: each
// from a file, in bash, with its environment's expressions replaced; those for a failure
// after one, and no other. It returns the summary of the job and its log.
func runWorkflow(u *user, path string, values map[string]string, fails bool) (summary, log string) {
	u.t.Helper()
	var w workflow
	parse(u.t, path, &w)
	file := filepath.Join(u.t.TempDir(), "summary.md")
	failed := false
	for _, job := range w.Jobs {
		for _, step := range job.Steps {
			if step.Run == "" || failed != (step.If == "failure()") {
				continue
			}
			runner := &user{t: u.t, dir: u.dir, env: append(slices.Clone(u.env), "CI=true", "GITHUB_ACTIONS=true", "GITHUB_STEP_SUMMARY="+file)}
			for name, text := range step.Env {
				runner.env = append(runner.env, name+"="+expression.ReplaceAllStringFunc(text, func(found string) string {
					name := expression.FindStringSubmatch(found)[1]
					value, known := values[name]
					if !known {
						u.t.Fatalf("%s: there is no %s", path, name)
					}
					return value
				}))
			}
			script := filepath.Join(u.t.TempDir(), "step.sh")
			if err := os.WriteFile(script, []byte(step.Run), 0o600); err != nil {
				u.t.Fatal(err)
			}
			out := runner.run(0, "bash -e "+script+" || echo \"Process completed with exit code $?.\"")
			failed = failed || strings.Contains(out, "Process completed with exit code")
			log += out
		}
	}
	if failed != fails {
		u.t.Errorf("the workflow fails: %v, with\n%s", failed, log)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		u.t.Fatal(err)
	}
	return string(text), log
}

// runGitLab runs the jobs of a pipeline as GitLab's runner does in an image without bash:
// all lines of a script in one shell that stops at the first error. It returns the
// artifact and the log.
func runGitLab(u *user, path string, values map[string]string, fails bool) (artifact, log string) {
	u.t.Helper()
	var pipeline map[string]yaml.Node
	parse(u.t, path, &pipeline)
	failed := false
	for _, name := range []string{"check", "notify"} {
		node, found := pipeline[name]
		var job gitLab
		if err := node.Decode(&job); err != nil || !found {
			u.t.Fatalf("%s has no job %s: %v", path, name, err)
		}
		if len(job.Rules) == 1 {
			// Of the job that follows a failure, and only with the variable that it names.
			if job.Stage != ".post" || job.Rules[0]["when"] != "on_failure" || job.Rules[0]["if"] != "$SLACK_WEBHOOK_URL" {
				u.t.Fatalf("the job %s is %+v", name, job)
			}
			if !failed || values["SLACK_WEBHOOK_URL"] == "" {
				continue
			}
		}
		runner := &user{t: u.t, dir: u.dir, env: append(slices.Clone(u.env), "CI=true", "GITLAB_CI=true")}
		for name, value := range values {
			runner.env = append(runner.env, name+"="+value)
		}
		script := filepath.Join(u.t.TempDir(), "job.sh")
		if err := os.WriteFile(script, []byte("set -e\n"+strings.Join(job.Script, "\n")+"\n"), 0o600); err != nil {
			u.t.Fatal(err)
		}
		out := runner.run(0, "dash "+script+" || echo \"ERROR: Job failed: exit code $?\"")
		failed = failed || strings.Contains(out, "ERROR: Job failed")
		log += out
		for _, path := range job.Artifacts.Paths {
			if job.Artifacts.When != "always" {
				u.t.Errorf("the artifact of a job that fails is not kept: %q", job.Artifacts.When)
			}
			artifact += runner.run(0, "cat "+path)
		}
	}
	if failed != fails {
		u.t.Errorf("the pipeline fails: %v, with\n%s", failed, log)
	}
	return artifact, log
}

// TestPipelines proves that the pipelines of examples/drift-detection do what they say:
// every script of theirs is run in the shell of its runner. While all is well they pass
// and tell nobody; when a backup was not made they fail, the report is in the summary of
// GitHub's job and in GitLab's artifact and log, and the channel gets a message. No secret
// is in a log.
func TestPipelines(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	u := newUser(t, s.Environ()...)
	if err := os.CopyFS(u.dir, os.DirFS(filepath.Join(root, "examples", "drift-detection"))); err != nil {
		t.Fatal(err)
	}
	u.run(0, "terraform init -input=false && terraform apply -input=false -auto-approve")
	backUp(t, s, "succeeded")

	slack := &channel{}
	server := httptest.NewServer(slack)
	t.Cleanup(server.Close)
	const secret = "/services/T0/B0/secret-canary"
	github := map[string]string{
		"secrets.SUPABASE_READ_TOKEN": s.ReadOnlyAccessToken, "vars.SUPABASE_PROJECT_REF": s.ProjectRef,
		"secrets.SUPABASE_READ_DB_URL": s.ReadOnlyDatabaseURL, "secrets.SLACK_WEBHOOK_URL": server.URL + secret,
		"github.server_url": "https://github.com", "github.repository": "acme/site", "github.run_id": "42",
	}
	gitlab := map[string]string{
		"SUPABASE_ACCESS_TOKEN": s.ReadOnlyAccessToken, "SUPABASE_PROJECT_REF": s.ProjectRef, "SLACK_WEBHOOK_URL": server.URL + secret,
		"CI_PIPELINE_URL": "https://gitlab.com/acme/site/-/pipelines/42",
	}
	actions, pipeline := filepath.Join(u.dir, ".github", "workflows", "drift.yml"), filepath.Join(u.dir, ".gitlab-ci.yml")
	var logs []string
	run := func(fails bool, sent []string, texts ...string) {
		t.Helper()
		summary, first := runWorkflow(u, actions, github, fails)
		artifact, second := runGitLab(u, pipeline, gitlab, fails)
		for _, text := range texts {
			for what, report := range map[string]string{"GitHub's summary": summary, "GitLab's artifact": artifact, "GitLab's log": second} {
				if !strings.Contains(unwrapped(report), text) {
					t.Errorf("%q is not in %s:\n%s", text, what, report)
				}
			}
		}
		if !regexp.MustCompile("(?s)\x1b\\[0Ksection_start:\\d+:report\r\x1b\\[0KReport\n.*" + "The backup is.*\x1b\\[0Ksection_end:\\d+:report\r\x1b\\[0K\n").MatchString(second) {
			t.Errorf("the report is in no section of\n%q", second)
		}
		if got := slack.take(); !slices.Equal(got, sent) {
			t.Errorf("the channel got %q, not %q", got, sent)
		}
		logs = append(logs, summary, first, artifact, second)
	}
	run(false, nil, declared, well)
	exec(t, s, "alter table public.feedbacks rename to feedbacks_old")
	backUp(t, s, "failed")
	message := func(link string) string {
		return secret + ` application/json {"text": "The check of the Supabase backup failed: ` + link + `"}`
	}
	run(true, []string{message("https://github.com/acme/site/actions/runs/42"), message("https://gitlab.com/acme/site/-/pipelines/42")}, unwell, "feedbacks")
	// Without a channel nobody is told in it, and nothing else fails.
	github["secrets.SLACK_WEBHOOK_URL"], gitlab["SLACK_WEBHOOK_URL"] = "", ""
	run(true, nil, unwell)
	for _, log := range logs {
		for _, secret := range []string{s.ReadOnlyAccessToken, s.ReadOnlyDatabaseURL, secret} {
			if strings.Contains(log, secret) {
				t.Errorf("a secret is in\n%s", log)
			}
		}
	}
}

// TestPipelinesOfGuide proves that the guide shows the pipelines that TestPipelines runs.
func TestPipelinesOfGuide(t *testing.T) {
	t.Parallel()
	shown := 0
	for _, b := range blocksOf(example(t, projectRef, "docs", "guides", "drift-detection.md")) {
		if b.kind != "yaml" {
			continue
		}
		first, _, _ := strings.Cut(b.text, "\n")
		file := filePattern.FindStringSubmatch(first)
		if file == nil {
			t.Errorf("line %d: the pipeline has no name", b.line)
			continue
		}
		var inGuide, inExample any
		parse(t, filepath.Join(root, "examples", "drift-detection", file[1]), &inExample)
		if err := yaml.Unmarshal([]byte(b.text), &inGuide); err != nil {
			t.Errorf("line %d: %v", b.line, err)
		}
		if !reflect.DeepEqual(inGuide, inExample) {
			t.Errorf("line %d is not what examples/drift-detection/%s is", b.line, file[1])
		}
		shown++
	}
	if shown != 2 {
		t.Errorf("the guide shows %d pipelines", shown)
	}
}
