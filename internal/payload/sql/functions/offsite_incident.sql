-- Opens the incident about copies to a destination, unless one is open. It is logged
-- here; the watchdog sends its alert.
create or replace function auto_backup.offsite_incident(backup text, destination text, code text, error text, at timestamptz)
returns void
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    incident auto_backup.incidents;
    problem text;
begin
    if exists (
        select from auto_backup.incidents i
        where i.backup = offsite_incident.backup and i.kind = 'offsite' and i.destination = offsite_incident.destination and i.recovered_at is null
    ) then
        return;
    end if;
    insert into auto_backup.incidents (backup, kind, destination, due_at, code, error, opened_at, alert_state)
    select
        s.backup, 'offsite', offsite_incident.destination, offsite_incident.at, offsite_incident.code, offsite_incident.error, offsite_incident.at,
        case when coalesce((s.document #>> '{alert,enabled}')::boolean, false) then 'waiting' else 'off' end
    from auto_backup.settings s
    where s.backup = offsite_incident.backup
    on conflict do nothing
    returning * into incident;
    if incident.incident_id is null then
        return;
    end if;
    problem := auto_backup.report(
        format('Cópia externa %s do backup automático falhou: ', incident.destination) || auto_backup.incident_reason(incident),
        jsonb_build_object(
            'incident_id', incident.incident_id, 'backup', incident.backup, 'destination', incident.destination, 'code', incident.code,
            'error', auto_backup.incident_reason(incident), 'failed_at', auto_backup.rfc3339(offsite_incident.at),
            'alert', jsonb_build_object('state', case incident.alert_state when 'off' then 'off' else 'pending' end)
        )
    );
    update auto_backup.incidents i set logged = problem is null where i.incident_id = incident.incident_id;
end
$body$;
