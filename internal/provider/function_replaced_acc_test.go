package provider_test

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestFunctionReplaced proves that the next plan warns, in the words of the check
// before an installation, when backup_all_data was replaced by one that cannot work
// or was dropped; that the plan stays empty; and that it says nothing about one that
// works, whether it is the former one or not.
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
	}, managementAPI)
}
