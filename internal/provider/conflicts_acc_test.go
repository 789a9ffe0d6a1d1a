package provider_test

import (
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestConflictingJobs proves that a plan names the jobs that make the same backup by
// the SQL function that the configuration names, called in SQL or by the Data API,
// and not those that call another one.
func TestConflictingJobs(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 1, RateLimit: -1})
	p.sql(widened)
	p.sql(`create function public.my_backup() returns json language plpgsql security definer set statement_timeout = '60s' as 'begin return public.backup_all_data(); end'`)
	p.asPostgres(`select cron.schedule('mine', '0 2 * * *', 'SELECT My_Backup( )'), cron.schedule('remote', '0 3 * * *', 'select net.http_post(''https://x/rest/v1/rpc/my_backup'')'),
		cron.schedule('old', '0 4 * * *', 'select backup_all_data()'), cron.schedule('longer', '0 5 * * *', 'select my_backup_v2(), backup_all_data_v2()')`)
	makes := func(job string) finding {
		return warns("schedules", "The pg_cron job "+job+" has the ID", "it makes the same backup")
	}
	expect(t, p.plan(rpc("my_backup"), ""), []finding{makes("mine"), makes("remote"), untold})
	expect(t, p.plan(nil, ""), []finding{makes("old")})
}
