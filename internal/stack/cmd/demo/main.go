// Demo shows the whole chain on a local stack: Terraform installs a nightly
// backup, a real pg_cron tick runs it, a drill shows whether it can be restored and
// what it lacks, other people's changes are seen and repaired, a failure is reported by
// e-mail, a backup is copied to a bucket, destroy leaves nothing, and when the project is
// lost, the copy alone brings the tables back.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
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
	began     time.Time
	terraform *stack.WorkingDirectory
	stack     *stack.Stack
	db        *pgxpool.Pool // as the role postgres
	elsewhere *elsewhere
}

func run(ctx context.Context) (err error) {
	d := &demo{began: time.Now()}
	dir, err := os.MkdirTemp("", "aimindset-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d.say("the local stack starts: PostgreSQL with pg_cron, the Edge Functions' gateway, the APIs")
	if d.stack, err = stack.Start(ctx, stack.Options{LegacyJobs: true}); err != nil {
		return fmt.Errorf("start the stack: %w", err)
	}
	defer func() { err = errors.Join(err, d.stack.Close()) }()
	d.tell("%s", d.stack.Software())
	if d.db, err = pgxpool.New(ctx, d.stack.DatabaseURL); err != nil {
		return err
	}
	defer d.db.Close()
	d.tell("project %s, Management API at %s", d.stack.ProjectRef, d.stack.APIURL)
	d.elsewhere = &elsewhere{dir: filepath.Join(dir, "elsewhere")}
	if err := os.Mkdir(d.elsewhere.dir, 0o700); err != nil {
		return err
	}
	if d.elsewhere.s3, err = stack.StartS3(ctx, stack.S3Options{}); err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	defer func() { err = errors.Join(err, d.elsewhere.s3.Close()) }()
	d.tell("outside the project, a bucket on a real S3 server: versitygw")
	d.say("Terraform and the provider")
	if err := d.prepareTerraform(ctx, dir); err != nil {
		return err
	}

	before, err := d.snapshot(ctx)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		d.apply, d.firstBackup, d.drill, d.emptyPlan, d.drift, d.failure, d.copyBackup,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := d.destroy(ctx, before); err != nil {
		return err
	}
	return d.recover(ctx)
}

// say narrates a step with the time since the start.
func (d *demo) say(format string, args ...any) {
	fmt.Printf("\n[%6.1f s] %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) tell(format string, args ...any) {
	fmt.Printf("           %s\n", fmt.Sprintf(format, args...))
}

// prepareTerraform builds the provider and prepares a directory with the quick
// start for the stack.
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
	environ := append(d.stack.Environ(), "TF_IN_AUTOMATION=1", "TF_VAR_cron=* * * * *", key)
	d.terraform, err = stack.NewWorkingDirectory(ctx, dir, provider, environ, map[string]string{"main.tf": string(text)})
	return err
}

func (d *demo) apply(ctx context.Context) error {
	d.say("terraform apply of examples/quickstart; the demo's schedule is every minute")
	return d.applyNow(ctx)
}

func (d *demo) applyNow(ctx context.Context) error {
	run, err := d.terraform.Must(ctx, 0, "apply", "-auto-approve", "-no-color")
	for line := range strings.Lines(run.Output) {
		if strings.HasPrefix(line, "Apply complete!") {
			d.tell("%s", strings.TrimSpace(line))
		}
	}
	return err
}

// plan runs a plan and checks whether it finds something to do.
func (d *demo) plan(ctx context.Context, wanted int) (string, error) {
	run, err := d.terraform.Must(ctx, wanted, "plan", "-detailed-exitcode", "-no-color")
	return run.Output, err
}

func (d *demo) firstBackup(ctx context.Context) error {
	d.say("waiting for a pg_cron tick, and for the backup that it starts")
	var id string
	var records int
	err := await(ctx, 3*time.Minute, "a finished backup", func() (bool, error) {
		err := d.db.QueryRow(ctx, `
			select context ->> 'backup_id', (context ->> 'total_records')::int
			from public.system_logs where type = 'auto_backup' order by id desc limit 1`).Scan(&id, &records)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	d.tell("backup %s with %d records", id, records)
	for _, table := range []string{"backup_articles", "backup_comments", "backup_feedbacks"} {
		var rows int
		query := "select count(*) from public." + pgx.Identifier{table}.Sanitize() + " where backup_id = $1"
		if err := d.db.QueryRow(ctx, query, id).Scan(&rows); err != nil {
			return err
		}
		d.tell("%-16s %6d rows of this backup", table, rows)
		if table == "backup_articles" && rows < 1000 {
			return fmt.Errorf("the backup holds %d articles, and the stack has at least 1000", rows)
		}
	}
	var tick, details string
	if err := d.db.QueryRow(ctx, `
		select r.start_time::text, r.status || ', ' || r.return_message from cron.job_run_details r
		inner join cron.job j on j.jobid = r.jobid and j.jobname = 'auto-backup-nightly' and r.status = 'succeeded' limit 1`).Scan(&tick, &details); err != nil {
		return err
	}
	d.tell("cron.job_run_details: %s, %s", tick, details)
	return nil
}

func (d *demo) drill(ctx context.Context) error {
	d.say("a restore drill, which the job auto-backup-drill runs on Sundays at 04:30")
	var text []byte
	// It gives way to a backup that is being made.
	err := await(ctx, 3*time.Minute, "a drill that is not skipped", func() (bool, error) {
		// The watchdog, whose job runs every ten minutes, records how a run has ended.
		if _, err := d.db.Exec(ctx, "select auto_backup.watch('auto-backup')"); err != nil {
			return false, err
		}
		err := d.db.QueryRow(ctx, "select auto_backup.drill('auto-backup', 'manual')").Scan(&text)
		return err == nil && !bytes.Contains(text, []byte(`"skipped"`)), err
	})
	if err != nil {
		return err
	}
	var result struct {
		State, Error string
		Tables       []struct {
			Table       string
			Rows        int64
			Restorable  *bool
			ColumnsLost []struct {
				Name, Reason string
				Rows         int64
			} `json:"columns_lost"`
		}
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return err
	}
	if result.State != "successful" || len(result.Tables) == 0 {
		return fmt.Errorf("the drill ended with %s", text)
	}
	d.tell("%s: nothing of it stays in the database but its result", result.State)
	lost := 0
	for _, table := range result.Tables {
		if table.Restorable == nil || !*table.Restorable {
			return fmt.Errorf("the table %s cannot be restored: %s", table.Table, text)
		}
		d.tell("%-16s %6d rows can be restored", table.Table, table.Rows)
		for _, column := range table.ColumnsLost {
			lost++
			d.tell("%16s of %d rows a restore would lose %s (%s)", "", column.Rows, column.Name, column.Reason)
		}
	}
	if lost == 0 {
		return errors.New("the drill says nothing of comments.likes, which the application's function does not copy")
	}
	return nil
}

func (d *demo) emptyPlan(ctx context.Context) error {
	d.say("terraform plan: nothing to do")
	_, err := d.plan(ctx, 0)
	return err
}

func (d *demo) drift(ctx context.Context) error {
	for _, tampering := range []struct {
		what string
		do   func(context.Context) error
		says string
	}{
		{"somebody changes the job's schedule in SQL", d.tamperJob, "has the schedule 0 4 * * * instead of"},
		{"somebody deploys another function manually", d.tamperFunction, "the whole function was replaced"},
		{"somebody overwrites the function's token", d.tamperSecret, "differs between the vault and the function's secrets"},
	} {
		d.say("%s", tampering.what)
		if err := tampering.do(ctx); err != nil {
			return err
		}
		out, err := d.plan(ctx, 2)
		if err != nil {
			return err
		}
		if !strings.Contains(out, tampering.says) {
			return fmt.Errorf("the plan does not say %q:\n%s", tampering.says, out)
		}
		d.tell("terraform plan -detailed-exitcode: 2")
		for line := range strings.Lines(out) {
			if text := strings.TrimSpace(line); strings.Contains(text, tampering.says) {
				d.tell("  %s", text)
			}
		}
		if err := d.applyNow(ctx); err != nil {
			return err
		}
		if _, err := d.plan(ctx, 0); err != nil {
			return fmt.Errorf("after the repair: %w", err)
		}
	}
	return nil
}

func (d *demo) tamperJob(ctx context.Context) error {
	_, err := d.db.Exec(ctx, `select cron.alter_job(jobid, schedule := '0 4 * * *') from cron.job where jobname = 'auto-backup-nightly'`)
	return err
}

func (d *demo) tamperFunction(ctx context.Context) error {
	client, err := d.client()
	if err != nil {
		return err
	}
	_, err = client.DeployFunction(ctx, d.stack.ProjectRef, supabase.Deployment{
		Slug: "auto-backup", Name: "auto-backup", Entrypoint: "auto-backup/index.ts",
		Files: map[string][]byte{"auto-backup/index.ts": []byte(`Deno.serve(() => new Response("not a backup"));`)},
	})
	return err
}

func (d *demo) tamperSecret(ctx context.Context) error {
	client, err := d.client()
	if err != nil {
		return err
	}
	return client.SetSecrets(ctx, d.stack.ProjectRef, map[string]string{"AUTO_BACKUP_TOKEN": "overwritten-by-hand"})
}

// client returns a client for changes outside Terraform.
func (d *demo) client() (*supabase.Client, error) {
	return supabase.New(supabase.Config{BaseURL: d.stack.APIURL, Token: d.stack.AccessToken, UserAgent: "somebody-else"})
}

func (d *demo) failure(ctx context.Context) error {
	d.say("somebody renames a column that the backup needs; the next tick must fail and report it")
	if _, err := d.db.Exec(ctx, "alter table public.articles rename column title to headline"); err != nil {
		return err
	}
	mails := len(d.stack.Emails())
	var message, details string
	err := await(ctx, 3*time.Minute, "a row auto_backup_error", func() (bool, error) {
		err := d.db.QueryRow(ctx, `
			select message, context::text from public.system_logs
			where type = 'auto_backup_error' and context -> 'alert' ->> 'state' <> 'pending' order by id desc limit 1`).Scan(&message, &details)
		if errors.Is(err, pgx.ErrNoRows) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	d.tell("system_logs: %s", message)
	if err := await(ctx, time.Minute, "the e-mail", func() (bool, error) { return len(d.stack.Emails()) > mails, nil }); err != nil {
		return fmt.Errorf("%w; the log says %s", err, details)
	}
	for _, mail := range d.stack.Emails()[mails:] {
		d.tell("e-mail to %v: %s", mail.To, mail.Subject)
	}
	if _, err := d.db.Exec(ctx, "alter table public.articles rename column headline to title"); err != nil {
		return err
	}
	var claimed int
	if err := d.db.QueryRow(ctx, `
		select count(*) from public.backup_logs b inner join public.system_logs s on s.context ->> 'run_id' = b.id::text
		where s.type = 'auto_backup_error' and b.success`).Scan(&claimed); err != nil {
		return err
	}
	if claimed > 0 {
		return errors.New("a failed backup left a row that claims success")
	}
	return nil
}

func (d *demo) destroy(ctx context.Context, before snapshot) error {
	d.say("terraform destroy")
	if _, err := d.terraform.Must(ctx, 0, "destroy", "-auto-approve", "-no-color"); err != nil {
		return err
	}
	after, err := d.snapshot(ctx)
	if err != nil {
		return err
	}
	if before.jobs != after.jobs {
		return fmt.Errorf("cron.job differs from before:\n%s\n%s", before.jobs, after.jobs)
	}
	d.tell("cron.job is as it was before the first apply")
	var rows int
	if err := d.db.QueryRow(ctx, "select count(*) from public.backup_logs where action_type = 'auto_backup'").Scan(&rows); err != nil {
		return err
	}
	// The log keeps its rows, and a CHECK that refuses them cannot be valid.
	d.tell("the log keeps %d rows auto_backup, so its old CHECK is back as NOT VALID; the schema dump differs in that alone:", rows)
	for _, line := range differingLines(before.schema, after.schema) {
		d.tell("  %s", line)
	}
	d.tell("a DBA who removes these rows and validates the CHECK has the schema dump of before, byte for byte:")
	for _, statement := range []string{
		"delete from public.backup_logs where action_type = 'auto_backup'",
		"alter table public.backup_logs validate constraint backup_logs_action_type_check",
	} {
		d.tell("  %s", statement)
		if _, err := d.db.Exec(ctx, statement); err != nil {
			return err
		}
	}
	if after, err = d.snapshot(ctx); err != nil {
		return err
	}
	if difference := firstDifference(before.schema, after.schema); difference != "" {
		return fmt.Errorf("the schema differs from before: %s", difference)
	}
	d.tell("equal: %d bytes", len(after.schema))
	return nil
}

// snapshot is what a destroy must not change.
type snapshot struct{ schema, jobs string }

func (d *demo) snapshot(ctx context.Context) (snapshot, error) {
	bin, err := stack.PostgresBin()
	if err != nil {
		return snapshot{}, err
	}
	var dump, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "pg_dump"), "--schema-only", "--dbname", d.stack.AdminDatabaseURL)
	cmd.Stdout, cmd.Stderr = &dump, &complaints
	if err := cmd.Run(); err != nil {
		return snapshot{}, fmt.Errorf("pg_dump: %w: %s", err, complaints.String())
	}
	var jobs string
	if err := d.db.QueryRow(ctx, "select coalesce(jsonb_agg(to_jsonb(j) order by j.jobid), '[]')::text from cron.job j").Scan(&jobs); err != nil {
		return snapshot{}, err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(jobs), "", " "); err != nil {
		return snapshot{}, err
	}
	// Newer releases of pg_dump frame a dump with a key that is new each time.
	return snapshot{schema: withoutLines(dump.String(), `\restrict`, `\unrestrict`), jobs: pretty.String()}, nil
}

// withoutLines drops the lines that begin with one of the words.
func withoutLines(text string, words ...string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		begins := func(word string) bool { return strings.HasPrefix(line, word) }
		if !slices.ContainsFunc(words, begins) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// differingLines lists the lines that only one of two texts has, marked with
// the side they are on.
func differingLines(before, after string) []string {
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var lines []string
	for _, side := range []struct {
		text, mark string
		sign       int
	}{{before, "- ", -1}, {after, "+ ", 1}} {
		for line := range strings.Lines(side.text) {
			if text := strings.TrimSpace(line); count[line]*side.sign > 0 && text != "" && text != "--" {
				lines = append(lines, side.mark+text)
				count[line] -= side.sign
			}
		}
	}
	return lines
}

// firstDifference shows where two texts part, or nothing when they are equal.
func firstDifference(before, after string) string {
	left, right := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range max(len(left), len(right)) {
		var a, b string
		if i < len(left) {
			a = left[i]
		}
		if i < len(right) {
			b = right[i]
		}
		if a != b {
			return fmt.Sprintf("line %d was %q and is %q", i+1, a, b)
		}
	}
	return ""
}

// await looks again and again until something is there.
func await(ctx context.Context, patience time.Duration, what string, look func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		found, err := look()
		switch {
		case found:
			return nil
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("look for %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come within %s: %w", what, patience, ctx.Err())
		case <-ticker.C:
		}
	}
}
