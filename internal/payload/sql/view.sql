-- What people read. It follows the tables, which may have been repaired before.

create or replace view auto_backup.history as
with event as (
    select
        r.backup, r.schedule, r.due_at, r.attempt, r.run_id, r.trigger, r.tick as tick_problem, r.state,
        r.request_id, r.requested_at, r.http_status, r.http_error, r.answered_at, r.finished_at,
        r.backup_id, r.records, r.code, r.error, r.logged_by, r.alert_state as run_alert,
        i.incident_id, i.run_id as first_failure, i.alert_state, i.alerted_by, i.alerted_at,
        i.alert_attempts, i.alert_error, i.recovered_at, i.recovered_by
    from auto_backup.runs r
    left join auto_backup.incidents i
        on i.backup = r.backup and i.kind = 'failed' and i.schedule = r.schedule and i.due_at = r.due_at
        and (r.state = 'failed' or i.run_id = r.run_id)
    union all
    select
        i.backup, null, i.due_at, null, null, null, null, 'overdue',
        null, i.opened_at, null, null, null, null,
        null, null, i.code, i.error, case when i.logged then 'watchdog' end, i.alert_state,
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
        when e.state = 'overdue' then
            'No backup has succeeded in time. ' || coalesce(e.error, '')
        when e.state = 'requested' then 'The request is made; there is no answer yet.'
        when e.state = 'running' then 'The function has taken the run and is working.'
        when e.state = 'succeeded' then
            'The backup was made: ' || coalesce(e.records::text, 'an unknown number of') || ' records.'
        else
            case
                when e.code = 'token_missing' then 'No request could be made: the token is missing in vault'
                when e.code = 'token_invalid' then 'No request could be made: the token in vault is damaged'
                when e.code = 'not_dispatched' then 'No request could be made'
                when e.code = 'not_sent' then 'pg_net did not send the request; its worker stands still'
                when e.code = 'no_answer' then 'The request was lost: there is neither an answer nor a trace of the function'
                when e.code = 'timeout' then 'The function did not answer in time and left no trace'
                when e.code = 'unreachable' then 'The function could not be reached'
                when e.code = 'unexpected_answer' then 'Something else than the function answered'
                when e.code = 'unauthorized' then 'The function refused the token: vault and function have different ones'
                when e.code = 'token_not_configured' then 'The function refused the call: it has no token'
                when e.code = 'http_404' then 'The function is not there'
                when e.code in ('http_401', 'http_403') then 'The platform refused the call before it reached the function'
                when e.code like 'http\_%' then 'The platform answered instead of the function'
                when e.code = 'interrupted' then 'The backup was begun and not finished'
                when e.code = 'log_unreadable' then 'The function took the run, but the logs that would tell its end cannot be read'
                when e.code = 'function_failed' then 'The function reported a failure'
                when e.code in ('log_rejected', 'log_unreachable') then 'The function could not write its logs'
                when e.code = 'internal' then 'The function itself failed'
                else 'The backup failed'
            end || coalesce(' (' || e.error || ')', '') || '.'
    end
    || case
        when e.state = 'succeeded' and e.incident_id is not null then ' It had been taken for failed before.'
        when e.state not in ('failed', 'overdue') then ''
        when e.recovered_at is not null then ' A later backup succeeded.'
        else ' No backup has succeeded since.'
    end as what_happened,
    case e.trigger
        when 'schedule' then 'started by its job'
        when 'retry' then 'tried again by the watchdog'
        when 'catch_up' then 'made up for by the watchdog: ' || coalesce(e.tick_problem, 'the job did not start it')
        when 'manual' then 'asked for by hand'
    end as tick,
    case
        when e.state = 'overdue' then null
        when e.request_id is null then 'not made'
        else 'made, pg_net id ' || e.request_id
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
        when e.state in ('requested', 'running') then null
        when e.logged_by = 'function' then 'written by the function'
        when e.logged_by = 'watchdog' then 'written by the watchdog'
        else 'could not be written'
    end as log,
    case
        when e.incident_id is null then null
        when e.run_id is distinct from e.first_failure then 'none: the first failure of this due time has one'
        when e.alert_state = 'delivered' then 'delivered by the ' || e.alerted_by
        when e.alert_state = 'not_delivered' then 'NOT delivered: ' || coalesce(e.alert_error, 'unknown reason')
        when e.alert_state = 'off' then 'switched off'
        when e.alert_state = 'suppressed' then 'none: the failure before it was alerted'
        when e.alert_state = 'sent' then 'sent by the watchdog, outcome not known yet'
        when e.alert_state = 'waiting' then 'under way'
    end as alert,
    e.run_id,
    e.trigger,
    e.request_id,
    e.requested_at,
    e.http_status,
    e.answered_at,
    e.finished_at,
    e.backup_id,
    e.records,
    e.code,
    e.error,
    e.logged_by,
    coalesce(e.run_alert, e.alert_state) as alert_state,
    e.alerted_by,
    e.alerted_at,
    e.alert_attempts,
    e.incident_id,
    e.recovered_at,
    e.recovered_by
from event e;
comment on view auto_backup.history is
'What happened to every backup, in plain words. Newest first: select * from auto_backup.history order by requested_at desc.';

-- PostgreSQL writes a view in its own words, and what it reads from them it may
-- write in others. A view made of its own words stays as it is by a dump and
-- restore, so auto_backup.drift() can compare them.
do $do$
begin
    for i in 1..2 loop
        execute 'create or replace view auto_backup.history as ' || pg_get_viewdef('auto_backup.history'::regclass);
    end loop;
end
$do$;
