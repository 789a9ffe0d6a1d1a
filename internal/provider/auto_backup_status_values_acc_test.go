package provider_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// pastRuns is a run history with every kind of entry: each trigger and state, runs
// with and without a request, a response, an error and a log, and an incident.
const pastRuns = `
	insert into auto_backup.runs (
		backup, schedule, trigger, due_at, attempt, state, tick, request_id, requested_at, http_status, http_error, finished_at,
		backup_id, records, code, sqlstate, error, logged_by, alert_state)
	select 'auto-backup', v.schedule, v.trigger, now() - v.ago, v.attempt, v.state, v.tick, v.request_id, now() - v.ago + v.started, v.http_status, v.http_error,
		now() - v.ago + v.ended, case when v.state = 'succeeded' then gen_random_uuid() end, v.records, v.code, v.sqlstate, v.error, v.logged_by, v.alert_state
	from (values
		('daily', 'schedule', interval '49 hours 1.5 seconds', 1, 'succeeded', null, 11, interval '1.25 seconds', 202, null, interval '9.75 seconds',
			300, null, null, null, 'function', null),
		('daily', 'schedule', interval '26 hours', 1, 'failed', null, 12, interval '2 seconds', 202, null, interval '5 seconds',
			null, 'rpc_http', '42501', 'permission denied', 'function', 'delivered'),
		('daily', 'retry', interval '26 hours', 2, 'succeeded', null, 13, interval '10 minutes', null, 'timed out', interval '11 minutes',
			null, null, null, null, 'watchdog', null),
		('noon', 'catch_up', interval '3 hours', 1, 'failed', 'the job auto-backup-noon is not active', null, interval '10 minutes', null, null, interval '10 minutes',
			null, 'not_dispatched', null, 'no address', 'watchdog', 'not_delivered'),
		('manual', 'manual', interval '2 hours', 1, 'failed', null, 15, interval '0 seconds', 503, 'BOOT_ERROR', interval '3 seconds',
			null, 'http_503', null, 'HTTP 503, BOOT_ERROR', null, 'off')
	) as v (schedule, trigger, ago, attempt, state, tick, request_id, started, http_status, http_error, ended, records, code, sqlstate, error, logged_by, alert_state);
	insert into auto_backup.incidents (backup, kind, schedule, due_at, run_id, code, error, opened_at, logged, alert_state, alerted_by, alert_error, recovered_at)
	select r.backup, 'failed', r.schedule, r.due_at, r.run_id, r.code, r.error, r.finished_at, true, r.alert_state, 'function', 'no subscriber',
		case when r.schedule = 'daily' then r.finished_at + interval '1 hour' end
	from auto_backup.runs r where r.state = 'failed';
	insert into auto_backup.incidents (backup, kind, due_at, code, error, opened_at, logged, alert_state)
	values ('auto-backup', 'overdue', now() - interval '1 hour', 'overdue', 'There has been none yet.', now() - interval '50 minutes', true, 'suppressed');`

// wantedStatus is what the status has to say, as the tables say it: $1 is the time
// of the check. The words of a run are those of the view, everything else is of
// the tables.
var wantedStatus = `
	with last as (select * from auto_backup.runs where state = 'succeeded' order by finished_at desc limit 1),
	latest as (select * from auto_backup.runs where schedule = 'daily' and trigger <> 'manual' order by due_at desc, attempt desc limit 1),
	retry as (
		select to_timestamp(ceil(extract(epoch from l.finished_at + interval '570 seconds') / 600) * 600) as at
		from latest l where l.state = 'failed' and not exists (select from auto_backup.runs where state in ('requested', 'running'))
	),
	next as (
		select min(d) as at from auto_backup.settings s,
		auto_backup.due_times(s.document #> '{schedules,daily}', $1::timestamptz, $1::timestamptz + interval '3 days') d
	),
	stored as (
		select backup_id, backup_created_at from public.backup_articles
		union all select backup_id, backup_created_at from public.backup_comments
		union all select backup_id, backup_created_at from public.backup_feedbacks
	),
	entry as (
		select r.requested_at, r.attempt, jsonb_build_object(
			'run_id', r.run_id, 'schedule', r.schedule, 'trigger', r.trigger, 'attempt', r.attempt, 'state', r.state,
			'due_at', ` + utc("r.due_at") + `, 'requested_at', ` + utc("r.requested_at") + `, 'finished_at', ` + utc("r.finished_at") + `,
			'duration_seconds', floor(extract(epoch from r.finished_at - r.requested_at)), 'backup_id', r.backup_id, 'records', r.records,
			'code', r.code, 'error', r.error, 'what_happened', h.what_happened, 'recovered', h.recovered,
			'tick', h.tick, 'request', h.request, 'http', h.http, 'function', h.function, 'log', h.log, 'alert', h.alert
		) as entry
		from auto_backup.runs r inner join auto_backup.history h using (run_id)
		union all
		select i.opened_at, null, jsonb_build_object(
			'run_id', null, 'schedule', null, 'trigger', null, 'attempt', null, 'state', 'overdue',
			'due_at', ` + utc("i.due_at") + `, 'requested_at', ` + utc("i.opened_at") + `, 'finished_at', null,
			'duration_seconds', null, 'backup_id', null, 'records', null,
			'code', i.code, 'error', i.error, 'what_happened', h.what_happened, 'recovered', i.recovered_at is not null,
			'tick', null, 'request', null, 'http', null, 'function', null, 'log', h.log, 'alert', h.alert
		)
		from auto_backup.incidents i inner join auto_backup.history h using (incident_id) where i.kind = 'overdue' and h.run_id is null
	)
	select jsonb_build_object(
		'watchdog_at', (select ` + utc("watched_at") + ` from auto_backup.watchdog),
		'retry_at', (select ` + utc("retry.at") + ` from retry, next where next.at > retry.at),
		'consecutive_failures', (select count(*) from auto_backup.runs r, last where r.state = 'failed' and r.finished_at > last.finished_at),
		'next_runs', (select jsonb_build_array(jsonb_build_object('schedule', 'daily', 'due_at',
			to_char(next.at at time zone 'America/Sao_Paulo', 'YYYY-MM-DD"T"HH24:MI:SS') || '-03:00')) from next),
		'last_success', (select jsonb_build_object(
			'finished_at', ` + utc("l.finished_at") + `, 'age_seconds', floor(extract(epoch from $1::timestamptz - l.finished_at)),
			'duration_seconds', floor(extract(epoch from l.finished_at - l.requested_at)), 'backup_id', l.backup_id, 'records', l.records,
			'run_id', l.run_id, 'schedule', l.schedule, 'due_at', ` + utc("l.due_at") + `) from last l),
		'last_run', (select e.entry from entry e where e.entry ->> 'run_id' is not null order by e.requested_at desc, e.attempt desc limit 1),
		'history', (select jsonb_agg(e.entry order by e.requested_at desc, e.attempt desc) from entry e),
		'stored_backups', (select jsonb_build_object(
			'count', count(distinct backup_id), 'newest_id', (array_agg(backup_id order by backup_created_at desc))[1],
			'newest_at', ` + utc("max(backup_created_at)") + `, 'oldest_at', ` + utc("min(backup_created_at)") + `,
			'size_bytes', pg_total_relation_size('public.backup_articles') + pg_total_relation_size('public.backup_comments') + pg_total_relation_size('public.backup_feedbacks'),
			'tables', '["public.backup_articles", "public.backup_comments", "public.backup_feedbacks"]'::jsonb) from stored)
	)`

// utc writes a time as RFC 3339 does, to the second.
func utc(expression string) string {
	return "to_char((" + expression + `) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`
}

// asTables checks the values of a status against the tables.
type asTables struct {
	p *project
	// nulls are the attributes that have to be null, by path; all others must not be.
	nulls []string
}

func (c asTables) CheckState(_ context.Context, req statecheck.CheckStateRequest, resp *statecheck.CheckStateResponse) {
	var got map[string]any
	for _, r := range req.State.Values.RootModule.Resources {
		if r.Address == status {
			got = r.AttributeValues
		}
	}
	var want map[string]any
	decoder := json.NewDecoder(strings.NewReader(c.p.value(wantedStatus, got["checked_at"])))
	decoder.UseNumber()
	if err := decoder.Decode(&want); err != nil {
		resp.Error = err
		return
	}
	var problems []error
	if stored, ok := got["stored_backups"].(map[string]any); ok {
		// What is computed of them depends on the time; TestForecast has it.
		for _, computed := range []string{"database_bytes", "growth_bytes_per_week", "days_until_full", "surplus", "retention", "assumptions"} {
			if _, there := stored[computed]; !there {
				problems = append(problems, fmt.Errorf("stored_backups has no %s", computed))
			}
			delete(stored, computed)
		}
	}
	for _, attribute := range slices.Sorted(maps.Keys(want)) {
		problems = append(problems, differences(attribute, got[attribute], want[attribute]))
	}
	var nulls []string
	for _, attribute := range []string{"retry_at", "last_run"} {
		nulls = append(nulls, nullsIn(attribute, got[attribute])...)
	}
	if !slices.Equal(nulls, c.nulls) {
		problems = append(problems, fmt.Errorf("null are %q, not %q", nulls, c.nulls))
	}
	resp.Error = errors.Join(problems...)
}

// differences names every attribute in which two values differ.
func differences(path string, got, want any) error {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || !reflect.DeepEqual(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
			return fmt.Errorf("%s has other attributes: %v", path, got)
		}
		var problems []error
		for key := range want {
			problems = append(problems, differences(path+"."+key, got[key], want[key]))
		}
		return errors.Join(problems...)
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return fmt.Errorf("%s has %d entries, not %d", path, len(got), len(want))
		}
		var problems []error
		for i := range want {
			problems = append(problems, differences(fmt.Sprintf("%s[%d]", path, i), got[i], want[i]))
		}
		return errors.Join(problems...)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s is %v, the tables say %v", path, got, want)
	}
	return nil
}

func nullsIn(path string, value any) (nulls []string) {
	switch value := value.(type) {
	case nil:
		return []string{path}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			nulls = append(nulls, nullsIn(path+"."+key, value[key])...)
		}
	}
	return nulls
}

// TestStatusValues proves that every attribute of the status has the value that
// the run history, the watchdog's table and the backup tables have, in a history
// with every kind of entry, while an attempt waits for its retry and while one is
// under way.
func TestStatusValues(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{Articles: 20})
	p.install()
	// The watchdog would judge what is put into the tables here.
	p.asPostgres("select cron.alter_job(jobid, active := false) from cron.job where jobname like 'auto-backup-%'")
	// No due time comes before the retry.
	far := (time.Now().UTC().Hour() + 24 - 3 + 12) % 24
	p.sql(`update auto_backup.settings set document = jsonb_set(jsonb_set(document, '{schedules,daily,hours}', jsonb_build_array($1::integer)),
		'{schedules,daily,cron}', to_jsonb(format('0 %s * * *', $1::integer)))`, far)
	p.backUp("succeeded")
	p.sql(`update public.backup_articles set backup_created_at = backup_created_at - interval '1 day', backup_id = gen_random_uuid()
		where original_id = (select min(original_id::text)::uuid from public.backup_articles)`)
	p.sql(pastRuns)
	// A minute ago, at whole seconds: then ages can be told from what is shown.
	p.sql(`update auto_backup.runs set due_at = due_at - interval '1 minute', requested_at = requested_at - interval '1 minute', finished_at = date_trunc('second', finished_at) - interval '59 seconds'`)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				PreConfig: func() {
					p.sql(`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, request_id, requested_at, http_status, finished_at, code, error, logged_by)
						values ('auto-backup', 'daily', 'schedule', now() - interval '9 seconds', 1, 'failed', 16, now() - interval '8 seconds', 202, date_trunc('second', now() - interval '2 seconds'),
							'internal', 'no address', 'function')`)
				},
				Config:            p.statusConfig(""),
				ConfigStateChecks: []statecheck.StateCheck{asTables{p, []string{"last_run.alert", "last_run.backup_id", "last_run.records"}}},
			},
			{
				PreConfig: func() {
					p.sql(`insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, request_id, requested_at)
						values ('auto-backup', 'daily', 'retry', now(), 2, 'running', 17, now())`)
				},
				Config: p.statusConfig(""),
				ConfigStateChecks: []statecheck.StateCheck{asTables{p, []string{
					"retry_at", "last_run.alert", "last_run.backup_id", "last_run.code", "last_run.duration_seconds", "last_run.error", "last_run.finished_at",
					"last_run.log", "last_run.records", "last_run.recovered",
				}}},
			},
		},
	})
}
