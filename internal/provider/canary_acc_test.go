package provider_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// cli is Terraform's command line with the provider as a program of its own.
type cli struct {
	t        *testing.T
	dir      string
	binary   string
	env      []string
	searched map[string]string // what was printed or written, by its origin
}

// builtProvider builds the provider once for all tests, and answers with the
// directory that holds it.
var builtProvider = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "provider")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(dir, "terraform-provider-aimindset"), "github.com/aimindset/terraform-provider-aimindset")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the provider: %w\n%s", err, out)
	}
	return dir, nil
})

func newCLI(t *testing.T, config string, env ...string) *cli {
	t.Helper()
	binary, err := stack.Terraform(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := &cli{t: t, dir: t.TempDir(), binary: binary, searched: map[string]string{}}
	program, err := builtProvider()
	if err != nil {
		t.Fatal(err)
	}
	rc := fmt.Sprintf("provider_installation {\n  dev_overrides { \"aimindset/aimindset\" = %q }\n  direct {}\n}\n", program)
	for name, text := range map[string]string{"main.tf": config, "terraform.rc": rc} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SUPABASE_") && !strings.HasPrefix(variable, "TF_") {
			c.env = append(c.env, variable)
		}
	}
	c.env = append(c.env, env...)
	c.env = append(c.env, "TF_CLI_CONFIG_FILE="+filepath.Join(c.dir, "terraform.rc"), "CHECKPOINT_DISABLE=1",
		"TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(c.dir, "trace.log"))
	return c
}

// run runs Terraform and keeps everything it printed.
func (c *cli) run(wanted int, args ...string) string {
	c.t.Helper()
	return c.runWith(nil, wanted, args...)
}

func (c *cli) runWith(env []string, wanted int, args ...string) string {
	c.t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(c.t.Context(), c.binary, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, slices.Concat(c.env, env), &out, &out
	_ = cmd.Run() // the exit code says more
	name := fmt.Sprintf("output %d of terraform %s", len(c.searched), strings.Join(args, " "))
	c.searched[name] = out.String()
	if code := cmd.ProcessState.ExitCode(); code != wanted {
		c.t.Fatalf("terraform %s ended with %d, not with %d:\n%s", args[0], code, wanted, out.String())
	}
	return out.String()
}

// files adds every file of the working directory to what is searched.
func (c *cli) files() {
	c.t.Helper()
	for _, pattern := range []string{"trace.log", "*.tfstate*", "plan.bin"} {
		paths, err := filepath.Glob(filepath.Join(c.dir, pattern))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				c.t.Fatal(err)
			}
			c.searched[filepath.Base(path)] = string(text)
		}
	}
}

// TestNoSecretLeaks proves that no token, secret, password or key reaches a
// state, a plan, a trace log, an error, a job, its history or the logs. Known
// secrets are planted, used in every operation and in failures, and looked
// for everywhere.
func TestNoSecretLeaks(t *testing.T) {
	t.Parallel()
	for name, direct := range map[string]bool{"management_api": false, "database_url": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, stack.Options{LegacyJobs: true})
			env := p.Environ()
			if direct {
				env = p.EnvironWithDatabase()
			}
			const first, second = "canary-first-4711", "canary-second-4712"
			c := newCLI(t, `
				terraform {
				  required_providers {
				    aimindset = { source = "aimindset/aimindset" }
				  }
				}
				variable "canary" {
				  type      = string
				  ephemeral = true
				}
				resource "aimindset_auto_backup" "this" {
				  schedules = { nightly = { cron = "0 3 * * *" } }
				  secrets   = { CANARY = var.canary }
				}`, append(env, "TF_VAR_canary="+first)...)

			c.run(0, "apply", "-auto-approve", "-no-color")
			c.run(0, "plan", "-detailed-exitcode", "-no-color")
			rotated := []string{"TF_VAR_canary=" + second}
			c.runWith(rotated, 2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
			c.runWith(rotated, 0, "show", "-json", "plan.bin")
			c.runWith(rotated, 0, "apply", "-no-color", "plan.bin")
			c.run(0, "show", "-json")
			// The wanted value again: the one in the configuration's variable has won.
			c.runWith(rotated, 0, "plan", "-detailed-exitcode", "-no-color")

			// A success and a failure of the backup itself.
			token := p.value("select decrypted_secret from vault.decrypted_secrets where name = 'auto-backup/token'")
			p.asPostgres("do $$ begin perform auto_backup.dispatch('auto-backup', 'nightly', now() - interval '2 minutes'); end $$")
			p.await("1", "select count(*) from public.system_logs where type = 'auto_backup'")
			p.sql("alter table public.articles rename column title to headline")
			p.asPostgres("do $$ begin perform auto_backup.dispatch('auto-backup', 'nightly', now() - interval '1 minute'); end $$")
			p.await("1", "select count(*) from public.system_logs where type = 'auto_backup_error' and context -> 'alert' ->> 'state' = 'delivered'")

			// Failures of the provider: an access token that the API refuses, and
			// a database that cannot be reached.
			refused := "sbp_" + strings.Repeat("c0ffee42", 5)
			c.runWith(append(rotated, "SUPABASE_ACCESS_TOKEN="+refused), 1, "plan", "-no-color")
			c.runWith(append(rotated, "SUPABASE_DB_URL=postgresql://postgres:canary-password-4713@127.0.0.1:1/postgres"), 1, "plan", "-no-color")
			c.files()

			for _, table := range []string{"cron.job", "cron.job_run_details", "public.system_logs", "public.backup_logs", "auto_backup.settings", "auto_backup.runs", "net._http_response"} {
				c.searched[table] = p.value("select coalesce(jsonb_agg(to_jsonb(t)), '[]') from " + table + " t")
			}
			for slug := range map[string]bool{"auto-backup": true, "alert-processor": true} {
				c.searched["logs of function "+slug] = p.FunctionLogs(slug)
			}
			canaries := map[string]string{
				"the extra secret": first, "the changed extra secret": second, "the invocation token": token,
				"the access token": p.AccessToken, "a refused access token": refused, "a database password": "canary-password-4713",
				"the service role key": p.ServiceRoleKey, "the secret key": p.SecretKey, "the anon key": p.AnonKey,
			}
			for what, canary := range canaries {
				if len(canary) < 10 {
					t.Fatalf("there is no canary for %s", what)
				}
				for where, text := range c.searched {
					if at := strings.Index(text, canary); at >= 0 {
						t.Errorf("%s stands in %s: …%s[canary]", what, where, text[max(0, at-120):at])
					}
				}
			}
			for _, where := range []string{"trace.log", "terraform.tfstate", "public.system_logs", "cron.job"} {
				if len(c.searched[where]) < 100 {
					t.Errorf("%s was not searched: it has %d bytes", where, len(c.searched[where]))
				}
			}
		})
	}
}
