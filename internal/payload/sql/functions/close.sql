-- Writes a verdict of auto_backup.judge to a run's row. A failed run belongs to an
-- incident, and is logged here if the function could not log it. Returns the problems.
create or replace function auto_backup.close(run_id uuid, verdict jsonb, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    run auto_backup.runs;
    incident auto_backup.incidents;
    problems jsonb := '[]';
    problem text;
begin
    update auto_backup.runs r
    set
        state = close.verdict ->> 'state',
        http_status = coalesce((close.verdict ->> 'http_status')::integer, r.http_status),
        http_error = coalesce(close.verdict ->> 'http_error', r.http_error),
        answered_at = coalesce((close.verdict ->> 'answered_at')::timestamptz, r.answered_at),
        finished_at = (close.verdict ->> 'finished_at')::timestamptz,
        backup_id = (close.verdict ->> 'backup_id')::uuid,
        records = (close.verdict ->> 'records')::bigint,
        code = close.verdict ->> 'code',
        sqlstate = close.verdict ->> 'sqlstate',
        error = nullif(close.verdict ->> 'error', ''),
        logged_by = coalesce(close.verdict ->> 'logged_by', r.logged_by),
        function_alert = coalesce(close.verdict ->> 'function_alert', r.function_alert),
        alert_state = case when close.verdict ->> 'state' = 'failed' then r.alert_state else nullif(r.alert_state, 'suppressed') end
    where r.run_id = close.run_id
    returning * into run;

    if run.state = 'failed' then
        insert into auto_backup.incidents (backup, kind, schedule, due_at, run_id, code, error, opened_at, alert_state)
        select
            run.backup, 'failed', run.schedule, run.due_at, run.run_id, run.code, run.error, close.at,
            case when coalesce((s.document #>> '{alert,enabled}')::boolean, false) then 'waiting' else 'off' end
        from auto_backup.settings s
        where s.backup = run.backup
        on conflict do nothing;
        select i.* into incident
        from auto_backup.incidents i
        where i.backup = run.backup and i.kind = 'failed' and i.schedule = run.schedule and i.due_at = run.due_at;
        update auto_backup.runs r
        set alert_state = case
            when incident.run_id <> run.run_id then 'suppressed'
            when incident.alert_state in ('waiting', 'sent') then 'pending'
            else incident.alert_state
        end
        where r.run_id = run.run_id
        returning * into run;
    end if;

    if run.code = 'interrupted' or (run.state = 'succeeded' and close.verdict ->> 'logged_by' = 'function') then
        problem := auto_backup.close_row(run.run_id);
        if problem is not null then
            problems := problems || to_jsonb(problem);
        end if;
        update auto_backup.runs r
        set row_open = problem is not null
        where r.run_id = run.run_id and coalesce(r.row_open, false) <> (problem is not null);
    end if;

    if run.state = 'failed' and run.logged_by is null then
        problem := auto_backup.report(
            case run.code when 'interrupted' then 'Backup automático interrompido: ' else 'Backup automático falhou: ' end
            || auto_backup.reason(run.code, run.sqlstate, run.error),
            jsonb_strip_nulls(jsonb_build_object(
                'run_id', run.run_id, 'backup', run.backup, 'schedule', run.schedule,
                'due_at', auto_backup.rfc3339(run.due_at), 'attempt', run.attempt,
                'code', run.code, 'error', auto_backup.reason(run.code, run.sqlstate, run.error),
                'http_status', run.http_status, 'request_id', run.request_id,
                'failed_at', auto_backup.rfc3339(run.finished_at),
                'alert', jsonb_build_object('state', run.alert_state)
            ))
        );
        if problem is null then
            update auto_backup.runs r set logged_by = 'watchdog' where r.run_id = run.run_id;
        else
            problems := problems || to_jsonb(problem);
        end if;
    end if;
    return problems;
end
$body$;
