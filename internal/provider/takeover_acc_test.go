package provider_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// configure replaces the configuration of a working directory.
func (c *cli) configure(config string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.Dir, "main.tf"), []byte(config), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

var frames = regexp.MustCompile(`[│╷╵]|\s+`)

// plain takes the frames and the line breaks out of what Terraform printed.
func plain(output string) string {
	return strings.Join(strings.Fields(frames.ReplaceAllString(output, " ")), " ")
}

// says complains about each text that an output lacks.
func (c *cli) says(output string, texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		if !strings.Contains(plain(output), plain(text)) {
			c.t.Errorf("the output does not say %q:\n%s", text, output)
		}
	}
}

// silent complains about each text that an output has.
func (c *cli) silent(output string, texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		if strings.Contains(plain(output), plain(text)) {
			c.t.Errorf("the output says %q:\n%s", text, output)
		}
	}
}

// warnings reads the summaries of the warnings from Terraform's JSON lines.
func (c *cli) warnings(lines string) []string {
	c.t.Helper()
	var summaries []string
	for line := range strings.Lines(lines) {
		var message struct {
			Type       string `json:"type"`
			Diagnostic struct {
				Severity, Summary string
			} `json:"diagnostic"`
		}
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			c.t.Fatalf("%v in %s", err, line)
		}
		if message.Type == "diagnostic" && message.Diagnostic.Severity == "warning" {
			summaries = append(summaries, message.Diagnostic.Summary)
		}
	}
	return summaries
}

// Everything of the application that the provider must not change: its
// functions with their bodies, settings, owners, rights and comments, its
// triggers, its policies and its tables' columns and constraints.
const applicationObjects = `
	select md5(string_agg(d, E'\n' order by d)) from (
		select (to_jsonb(p) || jsonb_build_object('comment', obj_description(p.oid, 'pg_proc')))::text as d
		from pg_proc p where p.pronamespace = 'public'::regnamespace
		union all
		select pg_get_triggerdef(t.oid) from pg_trigger t where not t.tgisinternal and t.tgrelid::regclass::text not like 'auto_backup.%'
		union all
		select to_jsonb(o)::text from pg_policies o where o.schemaname = 'public' and o.policyname <> 'auto_backup_agent'
		union all
		select to_jsonb(a)::text from information_schema.columns a where a.table_schema = 'public'
		union all
		select k.conrelid::regclass::text || k.conname || pg_get_constraintdef(k.oid) from pg_constraint k
		where k.connamespace = 'public'::regnamespace and k.conname <> 'backup_logs_action_type_check'
	) as objects`

// rpc calls an SQL function as the admin panel does.
func (p *project) rpc(key, name, arguments string) string {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.ProjectURL+"/rest/v1/rpc/"+name, bytes.NewBufferString(arguments))
	if err != nil {
		p.t.Fatal(err)
	}
	for header, value := range map[string]string{"apikey": key, "Authorization": "Bearer " + key, "Content-Type": "application/json"} {
		request.Header.Set(header, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		p.t.Fatalf("%s answers %s: %s, %v", name, response.Status, body, err)
	}
	return string(body)
}

// TestTakeOver proves that an AIMindset project as it is can be put under the
// provider: the plan refuses what is there and says how to go on; it names the
// jobs that make the same backup and what to write; one apply leaves exactly
// the declared jobs active; the application's functions and its other jobs
// stay byte for byte; and destroy leaves a project whose manual backup, panel
// and log work as before.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{LegacyJobs: true})
	if _, err := p.client().DeployFunction(t.Context(), p.ProjectRef, supabase.Deployment{
		Slug: "auto-backup", Name: "auto-backup", Entrypoint: "index.ts", VerifyJWT: true,
		Files: map[string][]byte{"index.ts": []byte("Deno.serve(() => Response.json({ success: true }))")},
	}); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"AUTO_BACKUP_TOKEN": "by-hand", "SHARED_KEY": "of-others", "UNTOUCHED": "of-others"} {
		p.overwriteSecret(name, value)
	}
	const (
		others    = "select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j where j.jobname not like 'auto-backup-%'"
		secondary = "select to_jsonb(j) from cron.job j where j.jobname = 'auto-backup-secondary'"
		daily     = "select jobid from cron.job where jobname = 'auto-backup-daily'"
		active    = "select string_agg(jobname || ' ' || schedule, ', ' order by jobname) from cron.job where jobname like '%backup%' and active"
		check     = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'backup_logs_action_type_check'"
	)
	application, otherJobs, legacy, adopted, rule := p.value(applicationObjects), p.value(others), p.value(secondary), p.value(daily), p.value(check)
	id := p.value("select jobid from cron.job where jobname = 'auto-backup-secondary'")

	resource := func(arguments string) string {
		return required + `resource "aimindset_auto_backup" "this" {` + "\n" + arguments + "\n}"
	}
	c := newCLI(t, resource(`secrets = { SHARED_KEY = "ours" }`), p.Environ()...)
	c.says(c.run(1, "plan", "-no-color"),
		"the pg_cron job auto-backup-daily (id "+adopted+", schedule 0 6 * * *)", "the Edge Function auto-backup",
		"the function secret AUTO_BACKUP_TOKEN", "the function secret SHARED_KEY", "adopt_existing = true",
		"import { to = aimindset_auto_backup.this id = \""+p.ProjectRef+"/auto-backup\" }")

	// One of the two legacy jobs is adopted. The other one is told at every
	// plan, and stays.
	tellsSecondary := []string{
		"Job auto-backup-secondary (id " + id + ") makes the same backup", `the ID ` + id + `, the schedule "0 18 * * *" (UTC) and the role postgres`,
		`adopt_existing = true schedules = { daily = { cron = "0 3 * * *" } secondary = { cron = "0 18 * * *", timezone = "UTC" } }`,
		"select cron.unschedule(" + id + ");",
	}
	c.configure(resource(`
		adopt_existing = true
		secrets        = { SHARED_KEY = "ours" }`))
	first := c.run(0, "plan", "-no-color")
	c.says(first, tellsSecondary...)
	c.says(first, "Existing objects will be adopted",
		"the pg_cron job auto-backup-daily (id "+adopted+", schedule 0 6 * * *) gets the schedule 0 6 * * * and calls the dispatcher",
		"the Edge Function auto-backup gets the source of this backup", "the function secret SHARED_KEY gets the configured value")
	c.silent(first, "cleanup_old_logs_job", "publish_due_articles", "alert_overdue_publications", "current_setting")
	if got := strings.Join(c.warnings(c.run(0, "plan", "-json")), "; "); got !=
		"Provider development overrides are in effect; A CHECK of the application is widened; Existing objects will be adopted; Job auto-backup-secondary (id "+id+") makes the same backup" {
		t.Errorf("the plan warns of: %s", got)
	}
	c.run(0, "apply", "-auto-approve", "-no-color")
	if got := p.value(secondary); got != legacy {
		t.Errorf("the job that was not declared was\n%s\nand is\n%s", legacy, got)
	}
	c.says(c.run(0, "plan", "-detailed-exitcode", "-no-color"), tellsSecondary...)

	// Both are adopted, but not without leave.
	both := `
		secrets   = { SHARED_KEY = "ours" }
		schedules = {
		  daily     = { cron = "0 3 * * *" }
		  secondary = { cron = "0 15 * * *" }
		}`
	c.configure(resource(both))
	c.says(c.run(1, "plan", "-no-color"), "the pg_cron job auto-backup-secondary (id "+id+", schedule 0 18 * * *)", "adopt_existing = true")
	c.configure(resource("adopt_existing = true\n" + both))
	second := c.run(0, "plan", "-no-color")
	c.says(second, "the pg_cron job auto-backup-secondary (id "+id+", schedule 0 18 * * *) gets the schedule 0 18 * * * and calls the dispatcher")
	c.silent(second, "makes the same backup")
	c.run(0, "apply", "-auto-approve", "-no-color")
	c.silent(c.run(0, "plan", "-detailed-exitcode", "-no-color"), "Warning: Job", "taken over")
	if got := p.value(active); got != "auto-backup-daily 0 6 * * *, auto-backup-drill 30 7 * * 0, auto-backup-secondary 0 18 * * *, auto-backup-watchdog */10 * * * *" {
		t.Errorf("the active jobs of the backup are %s", got)
	}
	if got := p.value(daily); got != adopted {
		t.Errorf("the adopted job had the id %s and has %s", adopted, got)
	}
	p.tick("secondary", 0)
	p.await("1", "select count(*) from public.system_logs where type = 'auto_backup'")
	unchanged := func(when string) {
		t.Helper()
		if p.value(applicationObjects) != application {
			t.Errorf("%s the application's objects are not what they were", when)
		}
		if got := p.value(others); got != otherJobs {
			t.Errorf("%s the other jobs were\n%s\nand are\n%s", when, otherJobs, got)
		}
	}
	unchanged("after the apply")

	c.run(0, "destroy", "-auto-approve", "-no-color")
	unchanged("after destroy")
	if got := p.value("select count(*) from pg_policies where policyname = 'auto_backup_agent'"); got != "0" {
		t.Errorf("destroy left %s policies", got)
	}
	if got := strings.Join(p.traces("auto-backup"), ", "); got != "secret SHARED_KEY, secret UNTOUCHED" {
		t.Errorf("destroy left: %s", got)
	}
	if got := strings.TrimSuffix(p.value(check), " NOT VALID"); got != rule {
		t.Errorf("the CHECK of the log was %s and is %s", rule, got)
	}
	if got := p.value("select count(*) from public.backup_logs where action_type = 'auto_backup' and success"); got != "1" {
		t.Errorf("the log has %s rows of automatic backups", got)
	}
	if got := p.rpc(p.ServiceRoleKey, "backup_all_data", "{}"); !strings.Contains(strings.ReplaceAll(got, " ", ""), `"success":true`) {
		t.Errorf("the manual backup answers %s", got)
	}
	if got := p.rpc(p.AnonKey, "get_backup_logs", `{"limit_count":10}`); strings.Count(got, `"auto_backup"`) != 1 || !strings.Contains(got, `"backup"`) {
		t.Errorf("the panel's list of backups is %s", got)
	}
}
