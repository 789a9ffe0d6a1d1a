-- Opens the incident about drills that fail or that did not take place, unless one is
-- open, or closes it after a success. It is logged here; the watchdog sends its alert.
create or replace function auto_backup.drill_incident(backup text, state text, code text, error text, at timestamptz)
returns void
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    incident auto_backup.incidents;
    problem text;
begin
    if state = 'successful' then
        update auto_backup.incidents i
        set recovered_at = drill_incident.at
        where i.backup = drill_incident.backup and i.kind = 'drill' and i.recovered_at is null;
    end if;
    if state not in ('failed', 'timed_out', 'overdue') or exists (
        select from auto_backup.incidents i
        where i.backup = drill_incident.backup and i.kind = 'drill' and i.recovered_at is null
    ) then
        return;
    end if;
    insert into auto_backup.incidents (backup, kind, due_at, code, error, opened_at, alert_state)
    select
        s.backup, 'drill', drill_incident.at, drill_incident.code, drill_incident.error, drill_incident.at,
        case when coalesce((s.document #>> '{alert,enabled}')::boolean, false) then 'waiting' else 'off' end
    from auto_backup.settings s
    where s.backup = drill_incident.backup
    on conflict do nothing
    returning * into incident;
    if incident.incident_id is null then
        return;
    end if;
    problem := auto_backup.report(
        'Teste de restauração do backup automático falhou: ' || auto_backup.incident_reason(incident),
        jsonb_build_object(
            'incident_id', incident.incident_id, 'backup', incident.backup, 'code', incident.code,
            'error', auto_backup.incident_reason(incident), 'failed_at', auto_backup.rfc3339(drill_incident.at),
            'alert', jsonb_build_object('state', case incident.alert_state when 'off' then 'off' else 'pending' end)
        )
    );
    update auto_backup.incidents i set logged = problem is null where i.incident_id = incident.incident_id;
end
$body$;
