package payload_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// testDrillNow proves that a drill that was requested takes place once, in a job that
// then removes itself: after another drill that is in progress, not long after the
// request, and not again after it ended with an error.
func (tdb *testDatabase) testDrillNow(t *testing.T) {
	s, schema := tdb.newShop(t)
	s.succeeded("8 06:00", s.copyShop(schema))
	const (
		jobs   = `select coalesce(string_agg(command, ', '), 'none') from cron.job where jobname = $1 || '-drill_now'`
		drills = `select coalesce(string_agg(trigger || ' ' || state, ', ' order by drill_id), 'none') from auto_backup.drills where backup = $1`
		// The test is the one that runs the job.
		request = `with r as materialized (select auto_backup.drill_now($1) as r)
			select r.r ->> $2 from r cross join lateral cron.alter_job((r.r ->> 'job')::bigint, active := false) as a`
	)
	is := func(what, query, want string) {
		t.Helper()
		if got := one[string](t, s.owner, query, s.backup); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	run := func(tx pgx.Tx) string {
		t.Helper()
		var command, code string
		if err := tx.QueryRow(t.Context(), `select substring(command from 'select .*') from cron.job where jobname = $1 || '-drill_now'`, s.backup).Scan(&command); err != nil {
			t.Fatal(err)
		}
		call := strings.TrimPrefix(command, "select ")
		if err := tx.QueryRow(t.Context(), "select coalesce(r ->> 'code', r ->> 'state', 'nothing') from "+call+" as r").Scan(&code); err != nil {
			t.Fatal(err)
		}
		return code
	}
	inside := func(do func(tx pgx.Tx), commit bool) {
		t.Helper()
		tx, err := s.owner.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing to keep
		do(tx)
		if commit {
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}

	// Two requests are one, and a drill that is in progress comes first.
	inside(func(tx pgx.Tx) {
		var first, second [2]string
		for _, r := range []*[2]string{&first, &second} {
			if err := tx.QueryRow(t.Context(), `select r ->> 'requested_at', r ->> 'joined' from auto_backup.drill_now($1) as r`, s.backup).Scan(&r[0], &r[1]); err != nil {
				t.Fatal(err)
			}
		}
		if first[0] != second[0] || first[1] != "false" || second[1] != "true" {
			t.Errorf("two requests are %q and %q", first, second)
		}
		var command string
		if err := tx.QueryRow(t.Context(), jobs, s.backup).Scan(&command); err != nil {
			t.Fatal(err)
		}
		if want := "set statement_timeout = '120s'; select auto_backup.drill_once('" + s.backup + "', '" + first[0] + "')"; command != want {
			t.Errorf("the job runs %s, want %s", command, want)
		}
		if _, err := tx.Exec(t.Context(), `select cron.alter_job(jobid, active := false) from cron.job where jobname = $1 || '-drill_now'`, s.backup); err != nil {
			t.Fatal(err)
		}
	}, true)
	inside(func(other pgx.Tx) {
		if _, err := other.Exec(t.Context(), "select auto_backup.drill($1, 'manual')", s.backup); err != nil {
			t.Fatal(err)
		}
		inside(func(tx pgx.Tx) {
			if got := run(tx); got != "drill_running" {
				t.Errorf("beside another drill: %s", got)
			}
		}, true)
		is("beside another drill", drills, "none")
	}, false)
	inside(func(tx pgx.Tx) {
		if got := run(tx); got != "successful" {
			t.Errorf("after it: %s", got)
		}
	}, true)
	is("after the drill", drills, "manual successful")
	is("after the drill", jobs, "none")

	// A drill that ended with an error is not begun again, nor one that nobody waits for.
	for what, change := range map[string]string{
		"a tick that failed": `insert into cron.job_run_details (jobid, runid, status, start_time)
			select jobid, nextval('cron.runid_seq'), 'failed', clock_timestamp() from cron.job where jobname = $1 || '-drill_now'`,
		"an old request": `update cron.job set command = regexp_replace(command, '\d{4}-[^'']+Z', auto_backup.rfc3339(now() - interval '16 minutes')) where jobname = $1 || '-drill_now'`,
	} {
		one[string](t, s.owner, request, s.backup, "joined")
		if tag, err := s.admin.Exec(t.Context(), change, s.backup); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v", what, err)
		}
		inside(func(tx pgx.Tx) {
			if got := run(tx); got != "nothing" {
				t.Errorf("after %s: %s", what, got)
			}
		}, true)
		is(what, drills, "manual successful")
		is(what, jobs, "none")
	}

	// A request that was never carried out is replaced, and goes with the backup.
	former := one[string](t, s.owner, request, s.backup, "requested_at")
	s.exec(t, s.admin, `update cron.job set command = replace(command, $2, '2026-01-01T00:00:00Z') where jobname = $1 || '-drill_now'`, s.backup, former)
	if got := one[string](t, s.owner, request, s.backup, "joined"); got != "false" {
		t.Errorf("a request of months ago is joined: %s", got)
	}
	inside(func(tx pgx.Tx) {
		var left int
		if _, err := tx.Exec(t.Context(), "select auto_backup.leave($1)", s.backup); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRow(t.Context(), `select count(*) from cron.job where jobname = $1 || '-drill_now'`, s.backup).Scan(&left); err != nil || left != 0 {
			t.Errorf("a backup that leaves has %d jobs of a request, %v", left, err)
		}
	}, true)

	for backup, want := range map[string]string{"nowhere": `no backup "nowhere" is installed`, s.backup: `backup "` + s.backup + `" has no drill`} {
		s.change("16 00:00", func(document map[string]any) { document["drill"] = nil })
		if _, err := s.owner.Exec(t.Context(), "select auto_backup.drill_now($1)", backup); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", backup, err)
		}
	}
}

// testDrillHistory proves what the history of drills says of each, the newest first.
func (tdb *testDatabase) testDrillHistory(t *testing.T) {
	s, schema := tdb.newShop(t)
	if got := s.drill("8 07:30", "schedule").State; got != "skipped" {
		t.Fatal(got)
	}
	s.succeeded("8 06:00", s.copyShop(schema))
	s.exec(t, s.owner, strings.ReplaceAll(`update shop.backup_orders set "Note" = 'x', total = 10`, "shop.", schema+"."))
	s.drill("8 07:31", "manual")
	s.exec(t, s.owner, "alter table "+schema+".customers add lang text not null default 'pt'; alter table "+schema+".customers alter lang drop default")
	s.drill("8 07:32", "manual")
	got := column[string](t, s.owner, `
		select concat_ws(' | ', state, trigger, code, what_happened, what_to_do, would_lose, tables, rows, error) from auto_backup.drill_history($1)`, s.backup)
	want := []string{
		"failed | manual | drill_not_null | A column that must not be null has no value in rows of the backup, so they cannot be restored ($.customers: lang (40)). | " +
			"Give the column a default, or let the SQL function copy it. | $.customers.lang: 40 values (not copied), $.orders.Note: 40 values (constant) | 2 | 80 | $.customers: lang (40)",
		"successful | manual | The backup can be restored: 80 rows of 2 tables. | $.orders.Note: 40 values (constant) | 2 | 80",
		"skipped | schedule | drill_no_backup | No restore drill took place, because no backup has succeeded yet. | Wait for the first backup, or run one. | 0 | 0",
	}
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "$", schema)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
