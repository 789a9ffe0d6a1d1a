package provider_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// cli is Terraform's command line. What it runs has a provider in this process, which sees
// the environment of that Terraform. What it begins, and may therefore kill or interrupt,
// starts the provider's program, as does all that is traced, and a configuration with several
// blocks of the provider: Terraform starts a program for each block, and one server would
// serve them all as the last one says.
type cli struct {
	*stack.WorkingDirectory

	t        *testing.T
	searched map[string]string // what was printed or written, by its origin
	program  bool              // the provider is always the program
}

// builtProvider builds the provider once for all tests, and returns the
// directory that holds it.
var builtProvider = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "provider")
	return dir, stack.BuildProvider(context.Background(), stack.Provider, dir)
})

func newCLI(t *testing.T, config string, env ...string) *cli {
	t.Helper()
	program, err := builtProvider()
	if err != nil {
		t.Fatal(err)
	}
	w, err := stack.NewWorkingDirectory(t.Context(), t.TempDir(), program, slices.Concat(env, stack.Quick), map[string]string{"main.tf": config})
	if err != nil {
		t.Fatal(err)
	}
	return &cli{WorkingDirectory: w, t: t, searched: map[string]string{}}
}

// trace has Terraform and the provider's program log everything, for files.
func (c *cli) trace() {
	c.program = true
	c.Env = append(c.Env, "TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(c.Dir, "trace.log"))
}

// served returns the directory for one run of Terraform, with the provider that it gets.
func (c *cli) served() (w stack.WorkingDirectory, stop func(), err error) {
	w = *c.WorkingDirectory
	several, err := c.hasSeveralBlocks()
	if c.program || several || err != nil {
		return w, func() {}, err
	}
	variable, stop, err := serve(w.Getenv)
	w.Env = append(slices.Clip(w.Env), variable)
	return w, stop, err
}

// hasSeveralBlocks reports whether a block of a provider in the configuration has an alias.
func (c *cli) hasSeveralBlocks() (bool, error) {
	paths, err := filepath.Glob(filepath.Join(c.Dir, "*.tf"))
	if err != nil {
		return false, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil || aliased.Match(text) {
			return true, err
		}
	}
	return false, nil
}

var aliased = regexp.MustCompile(`(?m)^\s*alias\s*=`)

// Run runs Terraform with any result.
func (c *cli) Run(ctx context.Context, args ...string) (stack.TerraformRun, error) {
	w, stop, err := c.served()
	if err != nil {
		return stack.TerraformRun{}, err
	}
	defer stop()
	return w.Run(ctx, args...)
}

// run runs Terraform and keeps everything it printed.
func (c *cli) run(wanted int, args ...string) string {
	c.t.Helper()
	w, stop, err := c.served()
	if err != nil {
		c.t.Fatal(err)
	}
	defer stop()
	run, err := w.Must(c.t.Context(), wanted, args...)
	c.searched[fmt.Sprintf("output %d of terraform %s", len(c.searched), strings.Join(args, " "))] = run.Output
	if err != nil {
		c.t.Fatal(err)
	}
	return run.Output
}

// runWith is run with additional environment variables.
func (c *cli) runWith(env []string, wanted int, args ...string) string {
	c.t.Helper()
	w := *c.WorkingDirectory
	w.Env = slices.Concat(w.Env, env)
	return (&cli{&w, c.t, c.searched, c.program}).run(wanted, args...)
}

// begin starts Terraform.
func (c *cli) begin(args ...string) *stack.TerraformProcess {
	c.t.Helper()
	p, err := c.Start(c.t.Context(), args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// files adds every file of the working directory to what is searched. The trace log has
// to be among them.
func (c *cli) files() {
	c.t.Helper()
	if _, err := os.Stat(filepath.Join(c.Dir, "trace.log")); err != nil {
		c.t.Fatal(err)
	}
	for _, pattern := range []string{"trace.log", "*.tfstate*", "plan.bin"} {
		paths, err := filepath.Glob(filepath.Join(c.Dir, pattern))
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
			const (
				ping, hook = "http://127.0.0.1:9/canary-ping-4715", "http://127.0.0.1:9/canary-hook-4716"
				signing    = "whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0LTQ3MTc="
			)
			channels := func(ping, hook, signing string) string {
				return fmt.Sprintf("TF_VAR_channels={ ping = %q, hook = %q, signing = %q }", ping, hook, signing)
			}
			bucket := startS3(t)
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
				variable "channels" {
				  type      = object({ ping = string, hook = string, signing = string })
				  ephemeral = true
				}
				variable "key" {
				  type      = object({ id = string, secret = string })
				  ephemeral = true
				}
				resource "aimindset_auto_backup" "this" {
				  schedules = { nightly = { cron = "0 3 * * *" } }
				  secrets   = { CANARY = var.canary }
				  heartbeat = { url = var.channels.ping }
				  webhooks  = { ops = { url = var.channels.hook, form = "generic", signing_secret = var.channels.signing } }
				  offsite = { s3 = {
				    endpoint          = "`+bucket.Endpoint+`"
				    region            = "`+stack.S3Region+`"
				    bucket            = "`+bucket.Bucket+`"
				    recipients        = [`+fmt.Sprintf("%q, %q", offsiteRecipient(1), offsiteRecipient(2))+`]
				    lock              = { mode = "governance", days = 2 }
				    access_key_id     = var.key.id
				    secret_access_key = var.key.secret
				  } }
				}`, append(env, "TF_VAR_canary="+first, channels(ping, hook, signing), fmt.Sprintf("TF_VAR_key={ id = %q, secret = %q }", bucket.Reader.AccessKeyID, bucket.Reader.SecretAccessKey))...)
			c.trace()

			c.run(0, "apply", "-auto-approve", "-no-color")
			c.run(0, "plan", "-detailed-exitcode", "-no-color")
			rotated := []string{"TF_VAR_canary=" + second}
			c.runWith(rotated, 2, "plan", "-detailed-exitcode", "-no-color", "-out=plan.bin")
			c.runWith(rotated, 0, "show", "-json", "plan.bin")
			c.runWith(rotated, 0, "apply", "-no-color", "plan.bin")
			c.run(0, "show", "-json")
			// The wanted value again: the one in the configuration's variable has won.
			c.runWith(rotated, 0, "plan", "-detailed-exitcode", "-no-color")

			// Other addresses, and ones that are refused.
			c.runWith(append(rotated, channels(ping+"/moved", hook+"/moved", signing)), 0, "apply", "-auto-approve", "-no-color")
			c.runWith(append(rotated, channels(ping+"/start", "https://canary-hook-4716@x.example/", strings.TrimSuffix(signing, "="))), 1, "plan", "-no-color")
			c.runWith(rotated, 0, "apply", "-auto-approve", "-no-color")

			// A success and a failure of the backup itself.
			token := p.value("select decrypted_secret from vault.decrypted_secrets where name = 'auto-backup/token'")
			p.tick("nightly", 2*time.Minute)
			p.await("1", "select count(*) from public.system_logs where type = 'auto_backup'")
			p.sql("alter table public.articles rename column title to headline")
			p.tick("nightly", 1*time.Minute)
			p.await("1", "select count(*) from public.system_logs where type = 'auto_backup_error' and context -> 'alert' ->> 'state' = 'delivered'")

			// Failures of the provider: an access token that the API refuses, and
			// a database that cannot be reached.
			refused := "sbp_" + strings.Repeat("c0ffee42", 5)
			c.runWith(append(rotated, "SUPABASE_ACCESS_TOKEN="+refused), 1, "plan", "-no-color")

			// A key that the bucket refuses, and one that the provider does.
			const wrong = "canary-wrong-4714"
			c.says(c.runWith(append(rotated, fmt.Sprintf("TF_VAR_key={ id = %q, secret = %q }", bucket.Reader.AccessKeyID, wrong)), 1, "apply", "-auto-approve", "-no-color"), "No copies can be made")
			c.runWith(append(rotated, fmt.Sprintf("TF_VAR_key={ id = %q, secret = %q }", bucket.Reader.AccessKeyID, wrong+" ")), 1, "plan", "-no-color")
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
				"the heartbeat's URL": "canary-ping-4715", "the webhook's URL": "canary-hook-4716", "the signing secret": strings.Trim(signing, "whsec_="),
				"the bucket's key ID": bucket.Reader.AccessKeyID, "the bucket's key": bucket.Reader.SecretAccessKey, "a wrong key": wrong,
				"the access token": p.AccessToken, "a refused access token": refused, "a database password": "canary-password-4713",
				"the service role key": p.ServiceRoleKey, "the secret key": p.SecretKey, "the anon key": p.AnonKey,
			}
			for what, canary := range canaries {
				if len(canary) < 10 {
					t.Fatalf("there is no canary for %s", what)
				}
				for where, text := range c.searched {
					if at := strings.Index(text, canary); at >= 0 {
						t.Errorf("%s is in %s: …%s[canary]", what, where, text[max(0, at-120):at])
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
