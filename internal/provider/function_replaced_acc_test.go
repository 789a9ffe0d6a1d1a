package provider_test

import (
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestFunctionReplaced proves that the next plan warns, in the words of the check
// before an installation, when backup_all_data was replaced by one that cannot work
// or was dropped; that the plan stays empty; that it says nothing about one that works,
// whether it is the former one or not; and that the drill follows one that copies more.
func TestFunctionReplaced(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{}, func(t *testing.T, p *project) {
		c := newCLI(t, required+p.config(`verify = "none"`))
		c.run(0, "apply", "-auto-approve", "-no-color")
		plan := func() string {
			t.Helper()
			return c.run(0, "plan", "-detailed-exitcode", "-no-color")
		}
		const changed = "was changed since the last apply"
		c.silent(plan(), changed)

		former := p.value("select pg_get_functiondef('public.backup_all_data'::regproc)")
		// In one of AIMindset's migrations, the function empties the copies so.
		p.sql(`create or replace function public.backup_all_data() returns json language plpgsql security definer as $$
			begin
				delete from backup_articles;
				return json_build_object('success', true, 'backup_id', gen_random_uuid());
			end $$`)
		out := plan()
		c.says(out, "deletes or updates without WHERE (backup_articles)", "What to do", changed)
		c.silent(out, "statement_timeout")
		p.sql("drop function public.backup_all_data()")
		c.says(plan(), "backup_all_data", "does not exist", changed)
		p.sql("create or replace function public.backup_all_data(everything boolean) returns json language sql as $$ select '{}'::json $$")
		c.says(plan(), changed)
		p.sql("drop function public.backup_all_data(boolean)")
		p.sql(former)
		c.silent(plan(), changed)
		p.sql("alter function public.backup_all_data() set statement_timeout = '10min'")
		c.silent(plan(), "deletes or updates without WHERE", "does not exist")

		// A drill follows a function that copies one column more.
		p.sql(strings.NewReplacer("into backup_comments (backup_id,", "into backup_comments (likes, backup_id,", "select generation, c.id,", "select c.likes, generation, c.id,").Replace(former))
		c.says(c.run(2, "plan", "-detailed-exitcode", "-no-color"), `"setting drill.tables" = "is not what the SQL function copies since it was changed"`, "1 to change")
		c.run(0, "apply", "-auto-approve", "-no-color")
		const copied = `select t.value #>> '{columns,likes}' from auto_backup.settings s, jsonb_array_elements(s.document #> '{drill,tables}') t where t.value #>> '{live,1}' = 'comments'`
		if got := p.value(copied); got != "likes" {
			t.Errorf("the drill restores likes from %q", got)
		}
		c.silent(plan(), "drill.tables", changed)
	}, managementAPI)
}
