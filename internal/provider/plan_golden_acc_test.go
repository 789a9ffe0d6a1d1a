package provider_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

var updatePlans = flag.Bool("plans.update", false, "write the golden files of TestPlanText instead of comparing them")

// TestPlanText proves what a person reads in a plan, word by word: for a new
// backup, for each of twelve kinds of drift, and for the changes that people
// make, of which a retention says what it removes. A first plan with default arguments is short, and no plan has a line
// with a SHA-256; a plan that repairs one thing says in one line what is wrong.
func TestPlanText(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20, RateLimit: -1})
	c := newCLI(t, "")
	c.Env = append(c.Env, "TF_IN_AUTOMATION=1")
	required := "terraform {\n  required_providers {\n    aimindset = { source = \"aimindset/aimindset\" }\n  }\n}\n"
	plan := func(name, arguments string, limit int) {
		t.Helper()
		if arguments != "destroy" {
			c.configure(required + p.config(arguments))
		}
		// On a busy machine, Terraform says that it waits for the state's lock.
		args := []string{"plan", "-no-color", "-lock=false", "-out=plan.bin"}
		if arguments == "destroy" {
			args = append(args, "-destroy")
		}
		p.golden(name, c.run(0, args...), limit)
	}
	apply := func(arguments string) {
		t.Helper()
		c.configure(required + p.config(arguments))
		c.run(0, "apply", "-no-color", "-auto-approve")
	}

	plan("create", "", 45)
	const standard = `verify = "none"`
	apply(standard)
	job := func(change string) func() {
		return func() {
			p.asPostgres("select cron.alter_job(jobid, " + change + ") from cron.job where jobname = 'auto-backup-daily'")
		}
	}
	for _, drift := range []struct {
		name   string
		tamper func()
	}{
		{"job-removed", func() { p.asPostgres("select cron.unschedule('auto-backup-daily')") }},
		{"job-rescheduled", job("schedule := '0 4 * * *'")},
		{"job-off", job("active := false")},
		{"settings-changed", func() {
			p.asPostgres("update auto_backup.settings set document = jsonb_set(document, '{retry,attempts}', '7')")
		}},
		{"settings-removed", func() { p.asPostgres("delete from auto_backup.settings") }},
		{"table-dropped", func() { p.sql("drop table auto_backup.leases") }},
		{"sql-function-replaced", func() {
			p.asPostgres("create or replace function auto_backup.token(backup text) returns text language plpgsql set search_path = '' as 'begin return ''x''; end'")
		}},
		{"grant-added", func() { p.sql("grant usage on schema auto_backup to anon") }},
		{"function-removed", func() {
			if err := p.client().DeleteFunction(t.Context(), p.ProjectRef, "auto-backup"); err != nil {
				t.Fatal(err)
			}
		}},
		{"function-file-edited", func() {
			p.redeploy(func(files map[string][]byte) {
				files["by-hand/handler.ts"] = append([]byte("// edited\n"), files["by-hand/handler.ts"]...)
			})
		}},
		{"function-replaced", func() {
			p.redeploy(func(files map[string][]byte) {
				clear(files)
				files["by-hand/index.ts"] = []byte("Deno.serve(() => new Response())")
			})
		}},
		{"token-removed", func() { p.asPostgres("delete from vault.secrets where name = 'auto-backup/token'") }},
	} {
		drift.tamper()
		plan("drift-"+drift.name, standard, 20)
		c.run(0, "apply", "-no-color", "plan.bin")
	}
	plan("change-schedule", standard+"\n schedules = { daily = { cron = \"30 2 * * *\" } }", 40)
	plan("change-schedules-close", standard+"\n schedules = { daily = { cron = \"0 3 * * *\" }, evening = { cron = \"10 3 * * *\" }, often = { cron = \"*/30 12 * * *\" } }", 40)
	plan("change-rotation", standard+"\n rotate_token = \"2026-11\"", 40)
	dir := filepath.Join(t.TempDir(), "function")
	if err := os.CopyFS(dir, os.DirFS("../../examples/own-function-source/function")); err != nil {
		t.Fatal(err)
	}
	plan("change-source", standard+fmt.Sprintf("\n function = { source_dir = %q }", dir), 40)
	p.asPostgres(`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, backup_id)
		select 'auto-backup', 'daily', 'schedule', at, 1, 'succeeded', at, at, gen_random_uuid()
		from generate_series(timestamptz '2026-02-25 06:00Z', '2026-03-04 06:00Z', '1 day') at`)
	plan("change-retention", standard+"\n retention = { keep_last = 2, monthly = 2 }", 40)
	p.asPostgres("delete from auto_backup.runs")
	copies := func(bucket string) string {
		return standard + "\n offsite = { aws = " + strings.Replace(offsiteDestination(`bucket = "`+bucket+`"`), fmt.Sprintf(", %q", offsiteRecipient(2)), "", 1) + " }"
	}
	plan("change-offsite", copies("acme-backups"), 50)
	c.run(0, "apply", "-no-color", "plan.bin")
	plan("change-offsite-bucket", copies("acme-copies"), 20)
	plan("change-offsite-removed", standard, 50)
	c.run(0, "apply", "-no-color", "plan.bin")
	plan("destroy", "destroy", 60)
	c.run(0, "apply", "-no-color", "plan.bin")
}

// redeploy deploys the function with another source, as somebody does in the
// dashboard.
func (p *project) redeploy(change func(files map[string][]byte)) {
	p.t.Helper()
	files := map[string][]byte{}
	for name, content := range sourceOf(p) {
		files["by-hand/"+name] = []byte(content)
	}
	change(files)
	if _, err := p.client().DeployFunction(p.t.Context(), p.ProjectRef, supabase.Deployment{Slug: "auto-backup", Name: "auto-backup", Entrypoint: "by-hand/index.ts", Files: files}); err != nil {
		p.t.Fatal(err)
	}
}

var (
	longHash  = regexp.MustCompile(`[0-9a-f]{64}`)
	shortHash = regexp.MustCompile(`"[0-9a-f]{16}"`)
	sourceDir = regexp.MustCompile(`"/[^"]*/function"`)
	salted    = regexp.MustCompile(`pbkdf2-sha256\$[^"]*`)
	overrides = regexp.MustCompile(`(?s)\nWarning: Provider development overrides.*?releases\.\n`)
	// quoted is where a warning applies and the lines there.
	quoted = regexp.MustCompile(`\n  on main\.tf line [^\n]*(\n +[0-9]+:[^\n]*)+`)
	// unsaid is an argument of which OpenTofu shows in every update that it says nothing.
	unsaid = regexp.MustCompile(`\n +~ [a-z_]+ +=[ ]\(write-only attribute\)`)
	// hidden are the numbers of arguments that are not shown, and so differ then.
	hidden = regexp.MustCompile(`\([0-9]+ unchanged`)
)

// worded returns what a plan says in the words of Terraform 1.11. Other engines have
// another name, quote more or fewer lines of the configuration, and sort warnings by
// another place in it. OpenTofu marks what is sensitive less, and what is write-only more.
func worded(text string) string {
	text = strings.NewReplacer("OpenTofu ", "Terraform ", "in-place (current -> planned)", "in-place", "(sensitive, write-only", "(write-only").Replace(text)
	text = quoted.ReplaceAllString(text, "")
	if e, err := engines.Engine(); err == nil && e.OpenTofu {
		text = hidden.ReplaceAllString(unsaid.ReplaceAllString(text, ""), "(some unchanged")
	}
	text, note, noted := strings.Cut(text, "\n─")
	const warning = "\nWarning: "
	parts := strings.Split(text, warning)
	for i, part := range parts {
		parts[i] = strings.TrimRight(part, "\n") + "\n"
	}
	slices.Sort(parts[1:])
	text = strings.Join(parts, warning)
	if noted {
		text += "\n─" + note
	}
	return text
}

// golden compares what Terraform printed with a file. What differs from run to
// run is replaced.
func (p *project) golden(name, printed string, limit int) {
	p.t.Helper()
	text := worded(overrides.ReplaceAllString(printed, ""))
	text = strings.NewReplacer(p.ProjectRef, "<project_ref>", p.ProjectURL, "<project_url>").Replace(text)
	if longHash.MatchString(text) {
		p.t.Errorf("%s: the plan has a SHA-256:\n%s", name, text)
	}
	text = salted.ReplaceAllString(text, "<fingerprint>")
	text = sourceDir.ReplaceAllString(shortHash.ReplaceAllString(text, `"<source_hash>"`), `"<source_dir>"`)
	text = regexp.MustCompile(`version +[0-9][0-9.]*\+[0-9a-f]+|"[0-9][0-9.]*\+[0-9a-f]+"`).ReplaceAllString(text, `"<version>"`)
	if _, body, found := strings.Cut(text, "Terraform will perform the following actions:\n"); found {
		body, _, _ = strings.Cut(body, "\nPlan: ")
		if lines := strings.Count(strings.TrimSpace(body), "\n") + 1; lines > limit {
			p.t.Errorf("%s: the plan has %d lines, the limit is %d", name, lines, limit)
		}
	}
	file := filepath.Join("testdata", "plans", name+".txt")
	if *updatePlans {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	if worded(string(want)) != text {
		p.t.Errorf("%s: the plan reads\n%s\nand not\n%s", name, text, want)
	}
}
