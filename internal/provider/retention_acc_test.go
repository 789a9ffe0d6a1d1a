package provider_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestRetention proves the whole way of a retention with a real Terraform and real
// backups: the plan that sets or changes it says how many stored backups it removes, when
// they were made and from which tables, and no other plan does; the database then
// removes them one at a time; and a status tells that, what remains, how it grows, and
// when the disk will be full.
func TestRetention(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20, RateLimit: -1})
	c := newCLI(t, "")
	disk := "0.05"
	config := func(arguments string) string {
		return "terraform {\n  required_providers {\n    aimindset = { source = \"aimindset/aimindset\" }\n  }\n}\n" + p.config(`verify = "none"`+"\n"+arguments) + `
			data "aimindset_auto_backup_status" "this" {
				disk_gb    = ` + disk + `
				depends_on = [aimindset_auto_backup.this]
			}
			output "stored" { value = data.aimindset_auto_backup_status.this.stored_backups }
			output "codes" { value = [for p in data.aimindset_auto_backup_status.this.problems : p.code] }`
	}
	plan := func(arguments string) string {
		c.configure(config(arguments))
		return strings.Join(strings.Fields(c.run(0, "plan", "-no-color")), " ")
	}
	const says = "Warning: The retention removes stored backups"
	c.configure(config("drill = {}"))
	c.run(0, "apply", "-no-color", "-auto-approve")
	if out := plan("drill = {}\nretention = { keep_last = 2 }"); strings.Contains(out, says) {
		t.Errorf("before the first backup, a plan says: %s", out)
	}

	p.asPostgres(`do $do$
		declare made uuid;
		begin
			for day in reverse 40..1 loop
				made := public.backup_all_data() ->> 'backup_id';
				insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, posted_at, finished_at, backup_id)
				select 'auto-backup', 'daily', 'schedule', at, 1, 'succeeded', at, now(), at, made from (select date_trunc('hour', now()) - interval '1 hour' - day * interval '1 day' + interval '1 day' as at) t;
			end loop;
		end $do$`)
	const tables = "from public.backup_articles, public.backup_comments and public.backup_feedbacks."
	oldest := p.value(`select to_char(min(finished_at) at time zone 'America/Sao_Paulo', 'YYYY-MM-DD') from auto_backup.runs`)
	out := plan("drill = {}\nretention = { keep_last = 30 }")
	if !strings.Contains(out, says) || !strings.Contains(out, "The retention removes 10 of 40 stored backups, made from "+oldest+" to ") ||
		!strings.Contains(strings.ReplaceAll(out, "│ ", ""), tables) || !strings.Contains(out, "What to do:") {
		t.Errorf("a plan that sets a retention says: %s", out)
	}
	const kept = "drill = {}\nretention = { keep_last = 38 }"
	c.configure(config(kept))
	if out := c.run(0, "apply", "-no-color", "-auto-approve"); !strings.Contains(strings.Join(strings.Fields(out), " "), "The retention removes 2 of 40 stored backups") {
		t.Errorf("an apply says: %s", out)
	}
	if out := plan(kept); strings.Contains(out, says) {
		t.Errorf("a plan that does not change the retention says: %s", out)
	}
	if out := plan(kept + "\nrotate_token = \"again\""); strings.Contains(out, says) {
		t.Errorf("a plan that changes something else says: %s", out)
	}

	retain := func() string {
		p.asPostgres(`select auto_backup.retain('auto-backup')`)
		return p.value(`select coalesce(retention ->> 'skipped', retention #>> '{removed,public.backup_articles}', retention::text) from auto_backup.watchdog`)
	}
	p.asPostgres(`select auto_backup.watch('auto-backup')`)
	p.asPostgres(`update auto_backup.runs set state = 'failed', finished_at = now(), code = 'internal' where state in ('requested', 'running')`)
	p.asPostgres(`delete from auto_backup.runs where state = 'failed'`)
	if got := retain(); got != "the latest restore drill was not successful" {
		t.Errorf("without a drill: %s", got)
	}
	p.asPostgres(`select auto_backup.drill('auto-backup', 'manual')`)
	var got []string
	for range 3 {
		got = append(got, retain())
	}
	if want := []string{"20", "20", "every backup is kept"}; !slices.Equal(got, want) {
		t.Errorf("removed are %v, want %v", got, want)
	}
	c.configure(config(kept))
	c.run(0, "apply", "-no-color", "-auto-approve")
	var stored struct {
		Count, Surplus         int64
		Growth                 int64  `json:"growth_bytes_per_week"`
		Days                   *int64 `json:"days_until_full"`
		Database               int64  `json:"database_bytes"`
		Retention, Assumptions string
	}
	if err := json.Unmarshal([]byte(c.run(0, "output", "-json", "stored")), &stored); err != nil {
		t.Fatal(err)
	}
	if stored.Count != 38 || stored.Surplus != 0 || stored.Growth != 0 || stored.Days != nil || stored.Database == 0 ||
		!strings.HasSuffix(stored.Retention, "it removed nothing: every backup is kept.") || !strings.Contains(stored.Assumptions, "The retention keeps 0 more after four weeks than now.") {
		t.Errorf("the status says %+v", stored)
	}
	disk = "0.002"
	c.configure(config("drill = {}"))
	c.run(0, "apply", "-no-color", "-auto-approve")
	stored.Days = nil
	if err := json.Unmarshal([]byte(c.run(0, "output", "-json", "stored")), &stored); err != nil {
		t.Fatal(err)
	}
	if codes := c.run(0, "output", "-json", "codes"); stored.Growth <= 0 || stored.Days == nil || !strings.Contains(codes, "disk_nearly_full") {
		t.Errorf("without a retention, the status says %+v, with %s", stored, codes)
	}
}
