package provider_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// tool runs a program of PostgreSQL.
func (p *project) tool(program string, args ...string) {
	p.t.Helper()
	bin, err := stack.PostgresBin()
	if err != nil {
		p.t.Fatal(err)
	}
	if out, err := exec.CommandContext(p.t.Context(), filepath.Join(bin, program), args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// copySchema restores a dump of schema auto_backup into a project, in the place of
// what is there.
func (p *project) copySchema(to *project) {
	p.t.Helper()
	// Roles come first, as with "supabase db dump --role-only".
	to.asPostgres("do $$ begin if to_regrole('auto_backup_agent') is null then create role auto_backup_agent nologin noinherit; end if; end $$")
	file := filepath.Join(p.t.TempDir(), "schema")
	p.tool("pg_dump", "--format=custom", "--schema=auto_backup", "--file="+file, "--dbname="+p.AdminDatabaseURL)
	p.tool("pg_restore", "--clean", "--if-exists", "--exit-on-error", "--dbname="+to.AdminDatabaseURL, file)
}

// copyInto restores a project's database into another one, as a dump and a restore
// do, or, with the vault's key, as Supabase clones a project.
func (p *project) copyInto(to *project, withKey bool) {
	p.t.Helper()
	p.copySchema(to)
	file := filepath.Join(p.t.TempDir(), "rows")
	p.tool("pg_dump", "--format=custom", "--data-only", "--table=public.*", "--file="+file, "--dbname="+p.AdminDatabaseURL)
	to.sql("do $$ declare t text; begin for t in select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'public' loop execute 'truncate ' || t || ' cascade'; end loop; end $$")
	// The log's CHECK comes with the dump in reality.
	to.sql("alter table public.backup_logs drop constraint backup_logs_action_type_check")
	p.tool("pg_restore", "--data-only", "--disable-triggers", "--exit-on-error", "--dbname="+to.AdminDatabaseURL, file)
	to.sql("alter table public.backup_logs add constraint backup_logs_action_type_check " + p.value("select pg_get_constraintdef(oid) from pg_constraint where conname = 'backup_logs_action_type_check'"))
	for _, table := range []string{"vault.secrets", "cron.job"} {
		rows := p.value("select jsonb_agg(to_jsonb(t)) from " + table + " t")
		to.sql("delete from " + table)
		to.sql(fmt.Sprintf("insert into %[1]s select * from jsonb_populate_recordset(null::%[1]s, $1::text::jsonb)", table), rows)
	}
	if withKey {
		if err := to.CopyVaultKey(p.t.Context(), p.Stack); err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestClone proves that a backup whose database was dumped and restored into another
// project, or cloned with the vault's key, or restored over that project's own
// backup, is made whole there: the plan says what happened, one apply repairs it and
// verifies it by a whole backup, and the next plan is empty. Before that, the status
// names the watchdog's key, and where the original has a heartbeat or webhooks, the plan
// says who is told of the copy's failures; after the apply nobody is. The original keeps its
// jobs, keys and run history, and its state knows it as before.
func TestClone(t *testing.T) {
	t.Parallel()
	const verified = `verify = "backup"`
	imported := func(to *project) string {
		return fmt.Sprintf("\nimport {\n to = %s\n id = %q\n}\n", address, to.ProjectRef+"/auto-backup")
	}
	for name, c := range map[string]struct {
		// withKey says that the vault of the copy has the original's key, owned that
		// the other project has a backup of its own.
		withKey, owned bool
		// channels are arguments of the original alone.
		channels  string
		arguments string
		block     func(to *project) string
		says      []string
		// status is a problem that the status of the copy has.
		status string
	}{
		"a dump, imported": {
			arguments: verified, block: imported,
			says:   []string{"The database calls another project", "invocation token", "vault secret auto-backup/alert-key", "cannot be decrypted by the vault"},
			status: "alert_key_unreadable",
		},
		"a clone with the vault's key, imported": {
			withKey: true, arguments: verified, block: imported,
			channels: `
				heartbeat = { url = "https://hc-ping.com/canary-1" }
				webhooks  = { ops = { url = "https://hooks.slack.com/services/canary-2", form = "slack" } }`,
			says:   []string{"A clone also has the other project's URLs in `heartbeat` and `webhooks`", "jobname like 'auto-backup-%'", "The database calls another project", "vault secret auto-backup/alert-key", "is not a public key of this project"},
			status: "alert_key_mismatch",
		},
		"a dump, adopted": {
			arguments: verified + "\nadopt_existing = true",
			says:      []string{"The database calls another project"}, status: "alert_key_unreadable",
		},
		"a dump, over a backup of its own": {
			owned: true, arguments: verified,
			says: []string{"The database calls another project", "belongs to another installation", "cannot be decrypted by the vault"}, status: "alert_key_unreadable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := start(t, stack.Options{Articles: 3}), start(t, stack.Options{Articles: 2})
			original := newCLI(t, required+from.config(verified+c.channels))
			original.run(0, "apply", "-auto-approve", "-no-color")
			const history = "select jsonb_agg(to_jsonb(r) order by r.run_id) from auto_backup.runs r"
			block := ""
			if c.block != nil {
				block = c.block(to)
			}
			copied := newCLI(t, required+to.config(c.arguments)+block)
			if c.owned {
				copied.run(0, "apply", "-auto-approve", "-no-color")
			}
			from.copyInto(to, c.withKey)
			before, runs := from.everything(), from.value(history)

			watcher := newCLI(t, required+to.providerAs(to.AccessToken, "")+`
				data "aimindset_auto_backup_status" "this" {}
				output "problems" { value = jsonencode(data.aimindset_auto_backup_status.this.problems[*].code) }`)
			watcher.says(watcher.run(0, planOnly...), c.status)
			plan := copied.run(2, "plan", "-detailed-exitcode", "-no-color")
			copied.says(plan, c.says...)
			if c.channels == "" {
				copied.silent(plan, "heartbeat")
			}
			copied.run(0, "apply", "-auto-approve", "-no-color")
			watcher.silent(watcher.run(0, planOnly...), "alert_key")
			copied.run(0, "plan", "-detailed-exitcode", "-no-color")
			to.works("auto-backup")
			if here, there := to.value("select document ->> 'instance' from auto_backup.settings"), from.value("select document ->> 'instance' from auto_backup.settings"); here == there || here == "" {
				t.Errorf("the copy has the instance %q of the original", here)
			}
			const secrets = "select string_agg(decrypted_secret, ',' order by name) from vault.decrypted_secrets where name like 'auto-backup/%'"
			for _, secret := range strings.Split(from.value(secrets), ",") {
				if strings.Contains(to.value(secrets), secret) {
					t.Error("the copy has a secret of the original")
				}
			}
			if after := from.everything(); after != before {
				t.Errorf("the original is\n%s\nafter\n%s", after, before)
			}
			if after := from.value(history); after != runs {
				t.Errorf("the original's history is\n%s\nafter\n%s", after, runs)
			}
			original.run(0, "plan", "-detailed-exitcode", "-no-color")
		})
	}
}
