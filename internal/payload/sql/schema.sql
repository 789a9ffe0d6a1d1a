-- What the dispatcher and the watchdog keep. The script may be run again at any
-- time: it changes no row.

comment on schema auto_backup is
'Automatic backups: settings, history, dispatcher and watchdog. Managed by terraform-provider-aimindset. To see what happened to a backup: select * from auto_backup.history.';

create table if not exists auto_backup.installation (
    singleton boolean primary key default true check (singleton),
    owner text not null,
    version text not null,
    installed_at timestamptz not null default now(),
    log_constraint jsonb
);
comment on table auto_backup.installation is
'What is installed in this schema, and the CHECKs of public.backup_logs as they were before (log_constraint: name, definition).';

create table if not exists auto_backup.settings (
    backup text primary key,
    spec jsonb not null,
    owner text not null,
    function_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
-- What was installed before this column was there had come to its end.
alter table auto_backup.settings add column if not exists completed_at timestamptz default now();
alter table auto_backup.settings alter column completed_at drop default;
comment on table auto_backup.settings is
'What each backup is: schedules, function, alert and retry. Written by Terraform; a change by hand is undone at the next apply.';
comment on column auto_backup.settings.completed_at is
'When the installation came to its end; null: the apply that began it did not.';

-- One row per attempt. requested_at and what follows from it are on the clock
-- of dispatch and watch, which a test may set; posted_at is the real time, by
-- which answers and log rows are found.
create table if not exists auto_backup.runs (
    run_id uuid primary key default gen_random_uuid(),
    backup text not null,
    schedule text not null,
    trigger text not null check (trigger in ('schedule', 'retry', 'catch_up', 'manual')),
    due_at timestamptz not null,
    attempt integer not null check (attempt > 0),
    state text not null check (state in ('requested', 'running', 'succeeded', 'failed')),
    tick text,
    request_id bigint,
    requested_at timestamptz not null,
    posted_at timestamptz not null default now(),
    http_status integer,
    http_error text,
    answered_at timestamptz,
    finished_at timestamptz,
    backup_id uuid,
    records bigint,
    code text,
    error text,
    logged_by text check (logged_by in ('function', 'watchdog')),
    function_alert text,
    alert_state text,
    constraint runs_once unique (backup, schedule, due_at, attempt),
    constraint runs_finished check ((state in ('succeeded', 'failed')) = (finished_at is not null)),
    constraint runs_failed check ((state = 'failed') = (code is not null))
);
comment on table auto_backup.runs is 'Every attempt to make a backup. auto_backup.history shows it in plain words.';
comment on column auto_backup.runs.run_id is 'Also the id of the row in public.backup_logs, and context.run_id in public.system_logs.';
comment on column auto_backup.runs.tick is 'For a run that the watchdog made up for: why the job itself did not start it.';
comment on column auto_backup.runs.request_id is 'Id of the pg_net request. pg_net forgets it after some hours, and reuses ids after a crash.';
comment on column auto_backup.runs.posted_at is 'Real time of the request.';
comment on column auto_backup.runs.logged_by is 'Who wrote the outcome into public.system_logs; null: nobody could.';
comment on column auto_backup.runs.function_alert is 'What the function said of its own alert.';
comment on column auto_backup.runs.alert_state is 'What became of the alert about this failure, whoever sent it.';

create index if not exists runs_by_state on auto_backup.runs (backup, state, finished_at);
create index if not exists runs_by_age on auto_backup.runs (backup, requested_at);

-- One row per incident, and so at most one alert: the attempts for one due
-- time, of which the first has failed, or the time without any success.
create table if not exists auto_backup.incidents (
    incident_id bigint primary key generated always as identity,
    backup text not null references auto_backup.settings on delete cascade,
    kind text not null check (kind in ('failed', 'overdue')),
    schedule text,
    due_at timestamptz not null,
    run_id uuid,
    code text not null,
    error text,
    opened_at timestamptz not null,
    logged boolean not null default false,
    alert_state text not null
    check (alert_state in ('waiting', 'sent', 'delivered', 'not_delivered', 'off', 'suppressed')),
    alerted_by text check (alerted_by in ('function', 'watchdog')),
    alert_attempts integer not null default 0,
    alert_request_id bigint,
    alert_requested_at timestamptz,
    alert_posted_at timestamptz,
    alert_http_status integer,
    alert_error text,
    alerted_at timestamptz,
    recovered_at timestamptz,
    recovered_by uuid,
    constraint incidents_kind check ((kind = 'failed') = (schedule is not null and run_id is not null))
);
comment on table auto_backup.incidents is
'Every incident, of which people are told once: a backup that failed, or the time without a successful one.';
comment on column auto_backup.incidents.due_at is 'When the backup was due; for an overdue incident, when it became overdue.';
comment on column auto_backup.incidents.run_id is 'The first run that failed.';
comment on column auto_backup.incidents.logged is 'For an overdue incident: whether public.system_logs has its row.';
comment on column auto_backup.incidents.alert_error is 'Why the alert does not count as delivered.';
comment on column auto_backup.incidents.recovered_by is 'The run that succeeded again.';

create unique index if not exists incidents_once
on auto_backup.incidents (backup, kind, coalesce(schedule, ''), due_at);
create index if not exists incidents_pending on auto_backup.incidents (backup)
where recovered_at is null or alert_state in ('waiting', 'sent', 'not_delivered');

-- Since when each enabled schedule is as it is: what was due before is not missed.
create table if not exists auto_backup.schedules (
    backup text not null references auto_backup.settings on delete cascade,
    schedule text not null,
    definition jsonb not null,
    since timestamptz not null,
    primary key (backup, schedule)
);
comment on table auto_backup.schedules is 'Since when each schedule is as it is. Kept by the watchdog.';

create table if not exists auto_backup.watchdog (
    backup text primary key references auto_backup.settings on delete cascade,
    watched_at timestamptz not null,
    pruned_at timestamptz,
    summary jsonb not null
);
comment on table auto_backup.watchdog is 'When the watchdog looked last, what it did and what stood in its way.';

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
