package provider_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// upgradeRows counts what an upgrade must keep of the history.
const upgradeRows = `select concat_ws(', ', (select count(*) || ' runs ' || md5(string_agg(run_id || state || due_at, ',' order by run_id)) from auto_backup.runs),
	(select count(*) || ' incidents' from auto_backup.incidents), (select count(*) || ' drills' from auto_backup.drills))`

// TestUpgradeOfWhatIsInstalled proves with the real Terraform that what any release has
// installed becomes what this one wants by one apply: a project with that release's schema,
// rows, jobs and state. The history is kept, a backup then works and so does a drill, the
// plan is empty, and destroy removes everything. The fixtures stay forever.
func TestUpgradeOfWhatIsInstalled(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 3})
	c, file, present := p.applyUpgradeConfig()
	if *addFixture != "" {
		p.leaveHistory()
		p.writeInstalled(*addFixture)
	}
	fixtures, err := filepath.Glob(filepath.Join("testdata", "upgrade", "installed-*.sql.gz"))
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("there are no fixtures in testdata/upgrade: %v", err)
	}
	for _, path := range fixtures {
		release := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "installed-"), ".sql.gz")
		states, err := filepath.Glob(filepath.Join("testdata", "upgrade", "schema-*-"+release+".json"))
		if err != nil || len(states) != 1 {
			t.Fatalf("the release %s has the states %v (%v)", release, states, err)
		}
		p.restoreInstalled(path)
		rows := p.value(upgradeRows)
		if strings.Contains(rows, ", 0 ") || strings.HasPrefix(rows, "0 ") {
			t.Errorf("%s: the history is %s", release, rows)
		}
		p.write(file, present, p.readFixture(states[0]))
		c.run(0, "apply", "-auto-approve", "-no-color")
		c.says(c.run(0, "plan", "-detailed-exitcode", "-no-color"), "No changes.")
		if after := p.value(upgradeRows); after != rows {
			t.Errorf("%s: the history was %s and is %s", release, rows, after)
		}
		p.runNow("succeeded")
		p.drills()
		if problems := p.value("select summary -> 'problems' from auto_backup.watchdog"); problems != "" && problems != "[]" {
			t.Errorf("%s: the watchdog has the problems %s", release, problems)
		}
	}
	c.run(0, "destroy", "-auto-approve", "-no-color")
	if left := p.value("select to_regnamespace('auto_backup') is null and not exists (select from cron.job where jobname like 'night-backup%')"); left != "true" {
		t.Error("destroy leaves something of the upgraded backup")
	}
}

// runNow makes a backup, waits for its end, and lets the watchdog look.
func (p *project) runNow(state string) {
	p.t.Helper()
	p.asPostgres("do $$ begin perform auto_backup.run_now('night-backup'); end $$")
	run := p.value("select run_id from auto_backup.runs order by requested_at desc limit 1")
	p.await(state, `select case when l.success then 'succeeded' when l.details like '%falhou%' then 'failed' else 'under way' end from public.backup_logs l where l.id = $1::uuid`, run)
	if state == "failed" {
		p.await("delivered", `select l.context #>> '{alert,state}' from public.system_logs l where l.type = 'auto_backup_error' and l.context ->> 'run_id' = $1`, run)
	}
	p.asPostgres("do $$ begin perform auto_backup.watch('night-backup'); end $$")
	if got := p.value("select state from auto_backup.runs where run_id = $1::uuid", run); got != state {
		p.t.Fatalf("the run ended as %s", got)
	}
}

// leaveHistory makes what a release leaves after some nights: runs that succeeded and one
// that failed, with its incident, and a drill.
func (p *project) leaveHistory() {
	p.t.Helper()
	p.runNow("succeeded")
	p.sql("alter table public.feedbacks rename to feedbacks_old")
	p.runNow("failed")
	p.sql("alter table public.feedbacks_old rename to feedbacks")
	p.runNow("succeeded")
	p.drills()
}

// drills makes a drill that succeeds.
func (p *project) drills() {
	p.t.Helper()
	p.asPostgres("do $$ begin perform auto_backup.drill('night-backup', 'manual'); end $$")
	if result := p.value("select to_jsonb(d) from auto_backup.drills d order by drill_id desc limit 1"); !strings.Contains(result, `"successful"`) {
		p.t.Fatalf("the drill ended with %s", result)
	}
}

// writeInstalled keeps what is installed in the database: a dump of the schema with its
// rows, and the jobs.
func (p *project) writeInstalled(release string) {
	p.t.Helper()
	dump := filepath.Join(p.t.TempDir(), "dump.sql")
	p.tool("pg_dump", "--schema=auto_backup", "--inserts", "--file="+dump, "--dbname="+p.AdminDatabaseURL)
	text, err := os.ReadFile(dump)
	if err != nil {
		p.t.Fatal(err)
	}
	jobs := p.value(`select string_agg(format('update cron.job set schedule = %L, command = %L, active = %L where jobname = %L;', schedule, command, active, jobname), E'\n' order by jobname)
		from cron.job where jobname like 'night-backup%'`)
	text = append(text, "\n"+jobs+"\n"...)
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte(p.ProjectURL), []byte(fixtureURL)), []byte(p.ProjectRef), []byte(fixtureRef))
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for line := range bytes.Lines(text) {
		// What one version of PostgreSQL knows and another does not.
		if bytes.HasPrefix(line, []byte("SET ")) || bytes.HasPrefix(line, []byte(`\`)) {
			continue
		}
		if _, err := w.Write(line); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", "upgrade", "installed-"+release+".sql.gz"), packed.Bytes(), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// restoreInstalled puts what a release has installed in the place of the schema and the
// jobs.
func (p *project) restoreInstalled(path string) {
	p.t.Helper()
	file, err := os.Open(path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		p.t.Fatal(err)
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte(fixtureURL), []byte(p.ProjectURL)), []byte(fixtureRef), []byte(p.ProjectRef))
	bin, err := stack.PostgresBin()
	if err != nil {
		p.t.Fatal(err)
	}
	restore := exec.CommandContext(p.t.Context(), filepath.Join(bin, "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "--single-transaction", p.AdminDatabaseURL)
	restore.Stdin = io.MultiReader(strings.NewReader("drop schema auto_backup cascade; set check_function_bodies = off; set client_min_messages = warning;\n"), bytes.NewReader(text))
	if out, err := restore.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", path, err, out)
	}
}

// readFixture reads a state that a release has written.
func (p *project) readFixture(path string) (held instance) {
	p.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte(fixtureURL), []byte(p.ProjectURL)), []byte(fixtureRef), []byte(p.ProjectRef))
	if err := json.Unmarshal(text, &held); err != nil {
		p.t.Fatal(fmt.Errorf("%s: %w", path, err))
	}
	return held
}
