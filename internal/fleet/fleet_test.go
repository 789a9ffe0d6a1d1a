package fleet

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// The provider's directory and the sample are made once for all tests.
var (
	provider string
	sample   *Sample

	// buildFlags are for the race detector.
	buildFlags []string
	// environ is what Terraform has in its environment beside the project.
	environ = stack.Quick
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "aimindset-provider-")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := stack.BuildProvider(ctx, stack.Provider, dir, buildFlags...); err != nil {
		log.Print(err)
		return 1
	}
	provider = dir
	if sample, err = TakeSample(ctx, provider); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

// plan refreshes backups of a fleet and expects that nothing is to be done.
func plan(t *testing.T, perProject int, opts stack.FleetOptions, env ...string) *stack.Fleet {
	t.Helper()
	f, err := sample.Serve(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	w, err := sample.WorkingDirectory(t.Context(), t.TempDir(), provider, f, perProject)
	if err != nil {
		t.Fatal(err)
	}
	w.Env = slices.Concat(w.Env, environ, env)
	if _, err := w.Must(t.Context(), 0, "plan", "-detailed-exitcode", "-no-color"); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestReadBudget proves that a plan and an apply without changes cost three
// requests to the API and one statement for each project, whichever number of
// backups it has, that nothing is written, and that no connection is left.
func TestReadBudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ projects, perProject int }{{1, 1}, {1, PerProject}, {3, PerProject}} {
		t.Run(fmt.Sprintf("%d projects with %d backups", c.projects, c.perProject), func(t *testing.T) {
			t.Parallel()
			f := plan(t, c.perProject, stack.FleetOptions{Projects: c.projects})
			if err := CheckBudget(f); err != nil {
				t.Error(err)
			}
			if open := f.Stats().Open; open != 0 {
				t.Errorf("%d connections are left open", open)
			}
		})
	}
}

// TestApplyBudget proves what new backups cost: each three statements and four requests, and
// their project nine statements and eight requests once, however many are installed at the
// same time.
func TestApplyBudget(t *testing.T) {
	t.Parallel()
	if sql := 3*PerProject + 9; sample.SQL != sql {
		t.Errorf("%d backups took %d statements, not %d", PerProject, sample.SQL, sql)
	}
	// Those that wait for the same list at the same time share it.
	if api := 4*PerProject + 8; sample.API > api {
		t.Errorf("%d backups took %d requests, more than %d", PerProject, sample.API, api)
	}
}

// TestApplyBudgetWithMore proves that new backups with secrets, with channels and with a
// destination outside the project cost what others do, because their secrets come with the
// token, in the vault and in the function; and so do those with a retention, because the run history
// has nothing that it could remove.
func TestApplyBudgetWithMore(t *testing.T) {
	t.Parallel()
	// Two backups that set one secret would each take it for the other's.
	const outside = `
  secrets     = { "KEY_${replace(upper(each.value.name), "-", "_")}" = "value", "OTHER_${replace(upper(each.value.name), "-", "_")}" = "value" }
  heartbeat   = { url = "https://ping.example/${each.value.name}" }
  webhooks = {
    ops  = { url = "https://hooks.example/${each.value.name}", form = "generic", signing_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }
    team = { url = "https://hooks.slack.com/services/T0/B0/${each.value.name}", form = "slack" }
  }
  offsite = {
    s3 = {
      endpoint          = "https://s3.example"
      region            = "sa-east-1"
      bucket            = "backups"
      prefix            = each.value.name
      recipients        = [file("key.pem")]
      access_key_id     = "AKIAIOSFODNN7EXAMPLE"
      secret_access_key = "secret-access-key"
    }
  }`
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicKey := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	for what, arguments := range map[string]string{"outside": outside, "retention": "\n  retention   = { keep_last = 3 }"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, err := stack.Start(t.Context(), stack.Options{Articles: 1, RateLimit: -1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			dir := t.TempDir()
			const backups = 3
			w, err := NewWorkingDirectory(t.Context(), dir, provider, s.Environ(), []string{s.ProjectRef}, backups)
			if err != nil {
				t.Fatal(err)
			}
			w.Env = slices.Concat(w.Env, environ)
			const last = `verify      = "none"`
			for name, text := range map[string]string{"main.tf": strings.Replace(configuration, last, last+arguments, 1), "key.pem": publicKey} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.Must(t.Context(), 0, "apply", "-auto-approve", "-no-color"); err != nil {
				t.Fatal(err)
			}
			api, sql := count(s)
			if sql != 3*backups+9 || api > 4*backups+8 {
				t.Errorf("%d backups took %d requests and %d statements, not %d and %d", backups, api, sql, 4*backups+8, 3*backups+9)
			}
			if _, err := w.Must(t.Context(), 0, "plan", "-detailed-exitcode", "-no-color"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGlanceBudget proves that a look at all projects lists them once and costs four
// requests and one statement for each of them, also of a project with several backups,
// and that no connection is left.
func TestGlanceBudget(t *testing.T) {
	t.Parallel()
	f, err := sample.Serve(t.Context(), stack.FleetOptions{Projects: 25})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	w, err := GlanceDirectory(t.Context(), t.TempDir(), provider, f)
	if err != nil {
		t.Fatal(err)
	}
	w.Env = slices.Concat(w.Env, environ)
	if _, err := w.Must(t.Context(), 0, "plan", "-detailed-exitcode", "-no-color"); err != nil {
		t.Fatal(err)
	}
	if err := CheckGlance(f); err != nil {
		t.Error(err)
	}
	if open := f.Stats().Open; open != 0 {
		t.Errorf("%d connections are left open", open)
	}
}

// TestRateLimits proves that 100 projects are refreshed through an API that
// takes 120 requests a minute, whether it counts them as it says, for each
// endpoint of each project, or for each endpoint over all projects, which takes
// several windows (that are shorter and smaller here); that no request is refused
// again and again; and that the log says what is waited for. That none is refused
// twice in windows of a minute is proved by the tests of package supabase: the windows
// here are hardly longer than what the client adds to their end.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	for what, opts := range map[string]stack.FleetOptions{
		"for each project":  {RateLimit: 120, RateWindow: time.Minute},
		"over all projects": {RateLimit: 20, RateWindow: 2 * time.Second, AcrossProjects: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			opts.Projects = 100
			logged := filepath.Join(t.TempDir(), "log")
			start := time.Now()
			f := plan(t, 1, opts, "TF_LOG_PROVIDER=INFO", "TF_LOG_PATH="+logged)
			took := time.Since(start)
			if err := CheckBudget(f); err != nil {
				t.Error(err)
			}
			refused := f.Stats().Refused
			for request, times := range refused {
				if times > 2 {
					t.Errorf("%s was refused %d times", request, times)
				}
			}
			// On a machine that is too slow to reach the limit there is none.
			if opts.AcrossProjects && len(refused) == 0 && took < 5*opts.RateWindow {
				t.Error("the API has refused nothing, so the test shows nothing")
			}
			text, err := os.ReadFile(logged)
			if len(refused) > 0 && (err != nil || !strings.Contains(string(text), "waiting for the rate limit of the Management API")) {
				t.Errorf("the log does not say what is waited for: %v\n%s", err, text)
			}
			t.Logf("%d requests were refused, the plan took %s", len(refused), took)
		})
	}
}
