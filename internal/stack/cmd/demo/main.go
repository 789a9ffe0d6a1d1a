// Demo tells the whole story on a local stack: Terraform installs a nightly backup, a real
// pg_cron tick runs it, the status shows it, other people's changes are seen and repaired,
// a failed night is reported by e-mail, a drill shows whether the backup can be restored,
// it is copied to a bucket, destroy leaves nothing, and when the project is lost, the copy
// alone brings the tables back. What it tells it has checked; if anything is not so, it
// stops and exits with 1.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: failed:", err)
		os.Exit(1)
	}
	fmt.Println("demo: ok")
}

type demo struct {
	*narrator
	// terraform runs the quick start, and reader the configuration of somebody who asks
	// for the status with a token that may only read.
	terraform, reader *stack.WorkingDirectory
	stack             *stack.Stack
	db                *pgxpool.Pool // as the role postgres
	elsewhere         *elsewhere
}

// zone is the time zone of the backup, and so of every time that is told.
const zone = "America/Sao_Paulo"

func run(ctx context.Context) (err error) {
	began := time.Now()
	d := &demo{narrator: newNarrator()}
	dir, err := os.MkdirTemp("", "aimindset-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d.print("A nightly backup, from its installation to the day on which it is needed.\n" +
		"Everything runs on this machine, and takes about three minutes. What you read has been checked.\n")

	if err := d.start(ctx, dir); err != nil {
		return err
	}
	defer func() {
		d.db.Close()
		err = errors.Join(err, d.stack.Close(), d.elsewhere.s3.Close())
	}()
	// A job of the application's own, which nothing may touch.
	if _, err := d.db.Exec(ctx, "select cron.schedule('cleanup_old_logs_job', '0 2 * * *', 'select 1')"); err != nil {
		return err
	}
	before, err := d.snapshot(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		d.install, d.night, d.status, d.drift, d.failure, d.drill, d.copyBackup,
		func(ctx context.Context) error { return d.destroy(ctx, before) },
		d.recover,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.gap()
	d.print(fmt.Sprintf("Goodbye, after %d s. To do it yourself, run \"make stack\" and follow docs/guides/get-started.md.\n\n", int(time.Since(began).Seconds())))
	return nil
}

// start starts a project and a bucket, and makes Terraform ready.
func (d *demo) start(ctx context.Context, dir string) (err error) {
	defer d.during("starting a Supabase project, and building the provider")()
	if d.stack, err = stack.Start(ctx, stack.Options{}); err != nil {
		return fmt.Errorf("start the stack: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.stack.Close())
		}
	}()
	if d.db, err = pgxpool.New(ctx, d.stack.DatabaseURL); err != nil {
		return err
	}
	d.elsewhere = &elsewhere{dir: filepath.Join(dir, "elsewhere")}
	for _, name := range []string{"elsewhere", "quickstart", "reader"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	if d.elsewhere.s3, err = stack.StartS3(ctx, stack.S3Options{}); err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	if err := d.prepareTerraform(ctx, dir); err != nil {
		return errors.Join(err, d.elsewhere.s3.Close())
	}
	return nil
}

// readerText is the configuration of somebody who asks for the status.
const readerText = `
terraform {
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

data "aimindset_auto_backup_status" "this" {}

output "report" {
  value = data.aimindset_auto_backup_status.this.report
}
`

// prepareTerraform builds the provider and prepares a directory with the quick start for
// the stack, and one for the reader.
func (d *demo) prepareTerraform(ctx context.Context, dir string) error {
	provider := filepath.Join(dir, "provider")
	if err := stack.BuildProvider(ctx, stack.Provider, provider); err != nil {
		return err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "examples", "quickstart", "main.tf"))
	if err != nil {
		return err
	}
	key, err := d.elsewhere.environ()
	if err != nil {
		return err
	}
	environ := append(d.stack.Environ(), "TF_IN_AUTOMATION=1", key)
	d.terraform, err = stack.NewWorkingDirectory(ctx, filepath.Join(dir, "quickstart"), provider, environ, map[string]string{"main.tf": string(text)})
	if err != nil {
		return err
	}
	environ = append(d.stack.Environ(), "TF_IN_AUTOMATION=1", "SUPABASE_ACCESS_TOKEN="+d.stack.ReadOnlyAccessToken)
	d.reader, err = stack.NewWorkingDirectory(ctx, filepath.Join(dir, "reader"), provider, environ, map[string]string{"main.tf": readerText})
	return err
}

// apply applies the quick start as it is now, and shows how that ended.
func (d *demo) apply(ctx context.Context) error {
	defer d.during("applying")()
	run, err := d.terraform.Must(ctx, 0, "apply", "-auto-approve", "-no-color")
	if err != nil {
		return err
	}
	for line := range strings.Lines(run.Output) {
		if strings.HasPrefix(line, "Apply complete!") {
			d.tell("%s", strings.TrimSpace(line))
		}
	}
	return nil
}

// plan runs a plan and checks whether it finds something to do.
func (d *demo) plan(ctx context.Context, wanted int) (string, error) {
	run, err := d.terraform.Must(ctx, wanted, "plan", "-detailed-exitcode", "-no-color")
	return run.Output, err
}

// installed says what the objects of the backup are for.
var installed = map[string]string{
	"auto-backup-nightly":  "calls the Edge Function, every day at 03:00",
	"auto-backup-watchdog": "every ten minutes: was it made? Retries, catches up, alerts",
	"auto-backup-drill":    "on Sundays at 04:30: can the newest backup be restored?",
}

func (d *demo) install(ctx context.Context) error {
	d.chapter("The project")
	d.tell("A Supabase project with AIMindset's tables: 1,000 articles, 300 comments and 100 feedbacks.\n" +
		"Its SQL function backup_all_data() copies them into backup tables when somebody calls it.\n" +
		"At night nobody does.")
	d.gap()
	d.tell("%s", wrapped("What it is made of: "+d.stack.Software()+".", 96))

	d.chapter("One resource")
	d.tell("The configuration is examples/quickstart, which says little more than")
	d.gap()
	d.tell("resource \"aimindset_auto_backup\" \"this\" {\n  schedules = {\n    nightly = { cron = \"0 3 * * *\" } # in the time zone of São Paulo\n  }\n}")
	d.typed("terraform apply")
	if err := d.apply(ctx); err != nil {
		return err
	}
	d.gap()
	d.tell("Now there is in the project:")
	for _, name := range slices.Sorted(maps.Keys(installed)) {
		var there bool
		if err := d.db.QueryRow(ctx, "select exists (select from cron.job where jobname = $1 and active)", name).Scan(&there); err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("there is no active job %s", name)
		}
		d.tell("  job      %-20s  %s", name, installed[name])
	}
	client, err := d.client()
	if err != nil {
		return err
	}
	if _, err := client.GetFunction(ctx, d.stack.ProjectRef, "auto-backup"); err != nil {
		return err
	}
	d.tell("  function %-20s  %s", "auto-backup", "calls backup_all_data(), checks the result, logs it")
	d.tell("  schema   %-20s  %s", "auto_backup", "settings and run history, closed to everybody else")
	d.tell("and a token that signs requests, which is in the vault and in the function's secrets alone.\n" +
		"The apply ended with a request through the whole chain, so it is known to work.")
	d.typed("terraform plan")
	out, err := d.plan(ctx, 0)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "No changes.") {
			d.tell("%s", strings.TrimSpace(line))
		}
	}
	return nil
}
