-- The run history for people.

create view auto_backup.history as
with run as (
    select
        r.backup, r.schedule, r.due_at, r.attempt, r.run_id, r.trigger, r.tick, r.state,
        r.request_id, r.refused_ids, r.requested_at, r.http_status, r.http_error, r.answered_at, r.finished_at,
        r.backup_id, r.records, r.code, r.sqlstate, r.error, r.logged_by, r.function_alert,
        r.alert_state
    from auto_backup.runs r
    where r.state not in ('requested', 'running')
    union all
    select
        o.backup, o.schedule, o.due_at, o.attempt, o.run_id, o.trigger, o.tick, o.state,
        o.request_id, o.refused_ids, o.requested_at, o.http_status, o.http_error, o.answered_at, o.finished_at,
        o.backup_id, o.records, o.code, o.sqlstate, o.error, o.logged_by, o.function_alert,
        o.alert_state
    from jsonb_to_recordset(auto_backup.outcomes()) as o (
        backup text, schedule text, due_at timestamptz, attempt integer, run_id uuid, trigger text,
        tick text, state text, request_id bigint, refused_ids bigint[], requested_at timestamptz, http_status integer,
        http_error text, answered_at timestamptz, finished_at timestamptz, backup_id uuid,
        records bigint, code text, sqlstate text, error text, logged_by text, function_alert text,
        alert_state text
    )
),

event as (
    select
        r.backup, r.schedule, r.due_at, r.attempt, r.run_id, r.trigger, r.tick as tick_problem, r.state,
        r.request_id, r.refused_ids, r.requested_at, r.http_status, r.http_error, r.answered_at, r.finished_at,
        r.backup_id, r.records, r.code, r.sqlstate, r.error, r.logged_by, r.alert_state as run_alert, r.function_alert,
        i.incident_id, i.run_id as first_failure, i.alert_state, i.alerted_by, i.alerted_at,
        i.alert_attempts, i.alert_error, i.recovered_at, i.recovered_by
    from run r
    left join auto_backup.incidents i
        on i.backup = r.backup and i.kind = 'failed' and i.schedule = r.schedule and i.due_at = r.due_at
        and (r.state = 'failed' or i.run_id = r.run_id)
    union all
    select
        i.backup, null, i.due_at, null, null, null, null, 'overdue',
        null, null, i.opened_at, null, null, null, null,
        null, null, i.code, null, i.error, case when i.logged then 'watchdog' end, i.alert_state, null,
        i.incident_id, null, i.alert_state, i.alerted_by, i.alerted_at,
        i.alert_attempts, i.alert_error, i.recovered_at, i.recovered_by
    from auto_backup.incidents i
    where i.kind = 'overdue'
)

select
    e.backup,
    e.schedule,
    e.due_at,
    e.attempt,
    e.state,
    case
        when e.state = 'requested' then 'The request is made; there is no answer yet.'
        when e.state = 'running' then 'The function has taken the run and is working.'
        when e.state = 'succeeded' then
            'The backup was made: ' || coalesce(e.records::text, 'an unknown number of') || ' records.'
            || case when e.incident_id is not null then ' It had counted as failed before.' else '' end
        when e.state = 'overdue' then concat_ws(' ', c.meaning || '.', e.error)
        else concat_ws(' ', coalesce(c.meaning, e.code), '(' || e.error || ')') || '.'
    end as what_happened,
    c.remedy as what_to_do,
    case when e.state in ('failed', 'overdue') then e.recovered_at is not null end as recovered,
    case e.trigger
        when 'schedule' then 'started by its job'
        when 'retry' then 'tried again by the watchdog'
        when 'catch_up' then 'started late by the watchdog: ' || coalesce(e.tick_problem, 'the job did not start it')
        when 'manual' then 'started manually'
    end as tick,
    case
        when e.state = 'overdue' then null
        when e.request_id is null then 'not made'
        else 'made, pg_net id ' || e.request_id
            || coalesce(', after the gateway had refused ' || nullif(array_to_string(e.refused_ids, ' and '), '') || ' (HTTP 401)', '')
    end as request,
    case
        when e.http_status is not null then 'HTTP ' || e.http_status || coalesce(' ' || e.http_error, '')
        when e.http_error is not null then 'no answer: ' || e.http_error
        when e.state in ('requested', 'running') and e.request_id is not null then 'no answer yet'
        when e.request_id is not null then 'no answer seen'
    end as http,
    case
        when e.state in ('running', 'succeeded') then e.state
        when e.state <> 'failed' then null
        when e.logged_by = 'function' then 'failed: ' || e.code
        when e.code in ('interrupted', 'log_unreadable', 'function_failed') then 'began, then ' || e.code
        else 'did not run'
    end as function,
    case
        when e.state not in ('requested', 'running') then coalesce('written by the ' || e.logged_by, 'could not be written')
    end as log,
    case when e.state not in ('requested', 'running') then coalesce(e.logged_by, 'unwritten') end as log_state,
    case
        -- The watchdog has not seen the failure yet.
        when e.incident_id is null and e.state = 'failed' and e.function_alert = 'delivered' then 'delivered by the function'
        when e.incident_id is null then null
        when e.run_id is distinct from e.first_failure then 'none: there is one about the first failure of this due time'
        when e.alert_state = 'delivered' then 'delivered by the ' || e.alerted_by
        when e.alert_state = 'not_delivered' then 'NOT delivered: ' || coalesce(e.alert_error, 'unknown reason')
        when e.alert_state = 'off' then 'switched off'
        when e.alert_state = 'suppressed' then 'none: the failure before it was alerted'
        when e.alert_state = 'sent' and e.alert_error is null then 'sent by the watchdog, outcome not known yet'
        when e.alert_state = 'sent' then 'sent by the watchdog, not delivered so far: ' || e.alert_error
        when e.alert_state = 'waiting' then 'pending'
    end as alert,
    e.run_id,
    e.trigger,
    e.request_id,
    cardinality(e.refused_ids) as refused,
    e.requested_at,
    e.http_status,
    e.answered_at,
    e.finished_at,
    e.backup_id,
    e.records,
    e.code,
    e.sqlstate,
    e.error,
    e.logged_by,
    coalesce(e.run_alert, e.alert_state) as alert_state,
    e.alerted_by,
    e.alerted_at,
    e.alert_attempts,
    e.incident_id,
    e.recovered_at,
    e.recovered_by
from event e
-- Like auto_backup.lookup, which would be called for each run.
left join lateral (
    select t.meaning, t.remedy
    from auto_backup.codes t
    where (t.code = e.code and t.sqlstate in ('', e.sqlstate))
    or (t.code = 'http_*' and e.code like 'http\_%')
    or t.code = 'function_failed'
    order by t.code is distinct from e.code, t.code <> 'http_*', t.sqlstate desc
    limit 1
) as c on e.state in ('failed', 'overdue');
comment on view auto_backup.history is
'What happened to every backup. Newest first: select * from auto_backup.history order by requested_at desc.';

-- PostgreSQL stores a view in a normalized form, whose normalized form may differ
-- again. The definition of a view that was created from its normalized form does not
-- change in a dump and restore, so auto_backup.drift() can compare it.
do $do$
begin
    for i in 1..2 loop
        execute 'create or replace view auto_backup.history as ' || pg_get_viewdef('auto_backup.history'::regclass);
    end loop;
end
$do$;
