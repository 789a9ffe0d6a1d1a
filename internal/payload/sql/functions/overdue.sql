-- Opens an incident if no backup has succeeded for longer than the settings allow,
-- whatever the cause. It depends on no job, request or response.
create or replace function auto_backup.overdue(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
declare
    config auto_backup.settings;
    allowed interval;
    last_success timestamptz;
    -- Since when there should have been a success.
    since timestamptz;
    incident auto_backup.incidents;
    problem text;
begin
    select s.* into config from auto_backup.settings s where s.backup = overdue.backup;
    allowed := make_interval(secs => coalesce((config.document #>> '{alert,overdue_after_seconds}')::bigint, 0));
    if allowed = interval '0' then
        return '{}';
    end if;
    select max(r.finished_at) into last_success
    from auto_backup.runs r
    where r.backup = overdue.backup and r.state = 'succeeded' and r.finished_at <= overdue.at;
    -- catch_up keeps one row for each enabled schedule. A time after now, which a clock
    -- that was wrong has left, would put an end to all alerts.
    select greatest(
        last_success, case when config.created_at <= overdue.at then config.created_at end,
        min(s.since) filter (where s.since <= overdue.at)
    ) into since
    from auto_backup.schedules s
    where s.backup = overdue.backup
    having count(*) > 0;
    if since is null or overdue.at <= since + allowed then
        return '{}';
    end if;

    select i.* into incident
    from auto_backup.incidents i
    where i.backup = overdue.backup and i.kind = 'overdue' and i.opened_at > since and i.opened_at <= overdue.at
    and i.recovered_at is null
    limit 1;
    if not found then
        insert into auto_backup.incidents (backup, kind, due_at, code, error, opened_at, alert_state)
        values (
            overdue.backup, 'overdue', since + allowed, 'overdue',
            case when last_success is null then 'There has been none yet.'
                else 'The last success was at ' || auto_backup.rfc3339(last_success) || '.'
            end,
            overdue.at,
            case when coalesce((config.document #>> '{alert,enabled}')::boolean, false) then 'waiting' else 'off' end
        )
        on conflict do nothing
        returning * into incident;
    end if;
    if incident.incident_id is null or incident.logged then
        return '{}';
    end if;

    problem := auto_backup.report(
        'Backup automático atrasado: ' || auto_backup.incident_reason(incident),
        jsonb_build_object(
            'incident_id', incident.incident_id, 'backup', overdue.backup, 'code', 'overdue',
            'error', auto_backup.incident_reason(incident),
            'last_success_at', auto_backup.rfc3339(last_success),
            'overdue_since', auto_backup.rfc3339(incident.due_at),
            'failed_at', auto_backup.rfc3339(overdue.at),
            'alert', jsonb_build_object('state', case incident.alert_state when 'off' then 'off' else 'pending' end)
        )
    );
    update auto_backup.incidents i set logged = problem is null where i.incident_id = incident.incident_id;
    return jsonb_strip_nulls(jsonb_build_object(
        'incident_id', incident.incident_id, 'problems', case when problem is not null then jsonb_build_array(problem) end
    ));
end
$body$;
