package payload_test

import (
	"slices"
	"strings"
	"testing"
)

// What keeps each table of the schema small. A table that is added has to get a rule: it
// is pruned, and then has an entry in aged, or it has at most one row for each value of
// the columns of its primary key, of which there are as many as somebody has configured.
var bounded = map[string]string{
	"installation": "singleton",
	"settings":     "backup",
	"leases":       "backup",
	"watchdog":     "backup",
	"schedules":    "backup, schedule",       // catch_up deletes those that are gone
	"channels":     "backup, channel, event", // notify deletes those that are gone
	"codes":        "code, sqlstate",
}

// aged inserts a row of a backup into each table that is pruned, of so many days ago, with
// a mark by which it is found again. Each is in the last state that it can have.
var aged = []struct{ table, insert, mark string }{
	{
		"runs", `insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, records)
		select $1, 'daily', 'schedule', at, 1, 'succeeded', at, at, $2::integer from (select now() - make_interval(days => $2::integer)) as t (at)`, "records",
	},
	{
		"incidents", `insert into auto_backup.incidents (backup, kind, due_at, code, opened_at, alert_state, alert_attempts)
		select $1, 'overdue', at, 'overdue', at, 'waiting', $2::integer from (select now() - make_interval(days => $2::integer)) as t (at)`, "alert_attempts",
	},
	{
		"drills", `insert into auto_backup.drills (backup, trigger, state, started_at, finished_at, error)
		select $1, 'manual', 'successful', at, at, $2::integer::text from (select now() - make_interval(days => $2::integer)) as t (at)`, "error::integer",
	},
	{
		"exports", `insert into auto_backup.exports (backup, destination, address, run_id, backup_id, made_at, state, path, opened_at, next_at, code, calls)
		select $1, 'r2', 'x', gen_random_uuid(), gen_random_uuid(), at, 'failed', 'p/', at, at, 'offsite_rows_gone', $2::integer from (select now() - make_interval(days => $2::integer)) as t (at)`, "calls",
	},
	{
		"export_objects", `insert into auto_backup.export_objects (export_id, kind, part, key, state, announced_at, rows)
		select e.export_id, 'schema', 1, 'k', 'abandoned', e.opened_at, e.calls from auto_backup.exports e where e.backup = $1 and e.calls = $2::integer`, "rows",
	},
	{
		"frozen", `insert into auto_backup.frozen (export_id, table_no, line_no, line)
		select e.export_id, 1, e.calls, 'x' from auto_backup.exports e where e.backup = $1 and e.calls = $2::integer`, "line_no",
	},
	{
		"export_checks", `insert into auto_backup.export_checks (backup, destination, address, state, started_at, finished_at, since, next_at, checked)
		select $1, 'r2', 'x', 'passed', at, at, at, at, $2::integer from (select now() - make_interval(days => $2::integer)) as t (at)`, "checked",
	},
	{
		"notices", `insert into auto_backup.notices (backup, channel, event, run_id, happened_at, state, next_at, finished_at, attempts)
		select $1, 'heartbeat', 'success', gen_random_uuid(), at, 'delivered', at, at, $2::integer from (select now() - make_interval(days => $2::integer)) as t (at)`, "attempts",
	},
}

// TestPrune proves that nothing which the product writes in a database grows without
// bound: every table of the schema is pruned, or has one row for each thing that is
// configured; and that pg_cron's history of its own jobs is pruned, and no other.
func TestPrune(t *testing.T) {
	t.Parallel()
	tdb := startDatabase(t)

	t.Run("every table has a rule", func(t *testing.T) {
		pruned := map[string]bool{}
		for _, table := range aged {
			pruned[table.table] = true
		}
		tables := column[string](t, tdb.owner, `
			select c.relname || ':' || coalesce((
				select string_agg(a.attname, ', ' order by array_position(x.indkey::smallint[], a.attnum))
				from pg_index x
				inner join pg_attribute a on a.attrelid = c.oid and a.attnum = any (x.indkey)
				where x.indrelid = c.oid and x.indisprimary
			), '')
			from pg_class c where c.relnamespace = 'auto_backup'::regnamespace and c.relkind in ('r', 'p') order by 1`)
		if want := len(aged) + len(bounded); len(tables) != want {
			t.Errorf("the schema has %d tables, and there are rules for %d", len(tables), want)
		}
		for _, table := range tables {
			name, key, _ := strings.Cut(table, ":")
			if pruned[name] {
				continue
			}
			if columns, ok := bounded[name]; !ok || columns != key {
				t.Errorf("nothing keeps auto_backup.%s small, whose key is (%s): let auto_backup.prune delete what is old, and add it to aged", name, key)
			}
		}
	})

	t.Run("what is kept", func(t *testing.T) {
		s := tdb.newScenario(t)
		other := tdb.newScenario(t)
		for _, table := range aged {
			for _, days := range []int{399, 401} {
				s.exec(t, s.owner, table.insert, s.backup, days)
				if table.table != "frozen" {
					other.exec(t, s.owner, table.insert, other.backup, days)
				}
			}
		}
		// An open export has its frozen rows, and the newest complete one at an address is
		// the end of a chain.
		s.exec(t, s.owner, `
			with open as (
				insert into auto_backup.exports (backup, destination, address, run_id, backup_id, made_at, path, opened_at, next_at)
				select $1, 'r2', 'x', gen_random_uuid(), gen_random_uuid(), at, 'p/', at, at from (select now() - interval '500 days') as t (at) returning export_id
			)
			insert into auto_backup.frozen (export_id, table_no, line_no, line) select open.export_id, 1, 500, 'x' from open`, s.backup)
		s.exec(t, s.owner, `
			insert into auto_backup.exports (backup, destination, address, run_id, backup_id, made_at, state, path, opened_at, next_at, completed_at, sequence, calls)
			select $1, 'r2', 'x', gen_random_uuid(), gen_random_uuid(), at, 'complete', 'p/', at, at, at, n, 1000 + n
			from generate_series(1, 2) n, lateral (select now() - interval '450 days') as t (at)`, s.backup)
		s.exec(t, s.owner, `select auto_backup.prune($1, now())`, s.backup)
		for _, table := range aged {
			of := "t.backup"
			if table.table == "export_objects" || table.table == "frozen" {
				of = "(select e.backup from auto_backup.exports e where e.export_id = t.export_id)"
			}
			query := `select (` + table.mark + `)::bigint from auto_backup.` + table.table + ` t where ` + of + ` = $1 order by 1`
			want := map[string][]int64{
				"exports": {0, 399, 1002},
				"frozen":  {500}, // nothing is left of what is not open, however new
			}[table.table]
			if want == nil {
				want = []int64{399}
			}
			if got := column[int64](t, s.owner, query, s.backup); !slices.Equal(got, want) {
				t.Errorf("of auto_backup.%s, the rows %d are left, want %d", table.table, got, want)
			}
			if table.table == "frozen" {
				continue
			}
			if got := column[int64](t, s.owner, query, other.backup); !slices.Equal(got, []int64{399, 401}) {
				t.Errorf("of another backup's rows in auto_backup.%s, %d are left", table.table, got)
			}
		}
	})

	t.Run("pg_cron's history", func(t *testing.T) {
		s := tdb.newScenario(t)
		jobs := []string{s.backup + "-daily", s.backup + "-watchdog", s.backup + "-drill", s.backup + "-drill_now", s.backup + "-retention", s.backup + "-other"}
		for _, job := range jobs {
			s.exec(t, s.owner, `select cron.schedule($1, '0 0 1 1 *', 'select 1')`, job)
		}
		s.exec(t, s.admin, `
			insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, start_time, end_time)
			select j.jobid, nextval('cron.runid_seq'), 1, 'postgres', 'postgres', 'select 1', 'succeeded', now() - make_interval(days => d), now() - make_interval(days => d)
			from cron.job j, unnest('{13, 15}'::integer[]) d where j.jobname = any ($1)`, jobs)
		s.exec(t, s.owner, `select auto_backup.prune($1, now())`, s.backup)
		got := column[string](t, s.admin, `
			select substr(j.jobname, length($1) + 2) || ' ' || extract(day from now() - d.start_time)
			from cron.job_run_details d inner join cron.job j on j.jobid = d.jobid where j.jobname = any ($2) order by j.jobname, d.start_time`, s.backup, jobs)
		if want := []string{"daily 13", "drill 13", "drill_now 13", "other 15", "other 13", "retention 13", "watchdog 13"}; !slices.Equal(got, want) {
			t.Errorf("left are %q, want %q", got, want)
		}
		for _, job := range jobs {
			s.exec(t, s.owner, `select cron.unschedule($1)`, job)
		}
	})
}
