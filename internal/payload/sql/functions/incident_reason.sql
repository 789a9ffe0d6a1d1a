-- The reason of an incident, in Portuguese, without a full stop.
create or replace function auto_backup.incident_reason(incident auto_backup.incidents)
returns text
language plpgsql
stable
set search_path = ''
as $body$
declare
    zone text;
    installed_at timestamptz;
    last_success timestamptz;
begin
    if incident.kind = 'failed' then
        return auto_backup.reason(
            incident.code, (select r.sqlstate from auto_backup.runs r where r.run_id = incident.run_id), incident.error
        );
    end if;
    if incident.kind in ('drill', 'offsite') then
        return auto_backup.reason(incident.code, null, incident.error);
    end if;
    select coalesce(s.document ->> 'timezone', 'UTC'), s.created_at into zone, installed_at
    from auto_backup.settings s
    where s.backup = incident.backup;
    select max(r.finished_at) into last_success
    from auto_backup.runs r
    where r.backup = incident.backup and r.state = 'succeeded' and r.finished_at <= incident.opened_at;
    if last_success is null then
        return 'nenhum backup terminou com sucesso desde a instalação, em ' || auto_backup.local_time(installed_at, zone);
    end if;
    return 'o último backup com sucesso terminou em ' || auto_backup.local_time(last_success, zone);
end
$body$;
