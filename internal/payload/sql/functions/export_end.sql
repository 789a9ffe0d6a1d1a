-- Ends an export that cannot be completed any more. What was stored stays, without a
-- manifest. Somebody has to know, unless it was wanted or an incident is open.
create or replace function auto_backup.export_end(export bigint, problem jsonb, at timestamptz, alert boolean default true)
returns void
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    ended auto_backup.exports;
begin
    update auto_backup.export_objects o
    set state = 'abandoned'
    where o.export_id = export_end.export and o.state = 'writing';
    update auto_backup.exports e
    set
        state = 'failed', worker = null, claimed_until = null, code = problem ->> 'code', error = auto_backup.plain(problem ->> 'message'),
        sqlstate = null, http_status = null, retryable = false, failed_at = export_end.at, manifest = null
    where e.export_id = export_end.export and e.state = 'open'
    returning * into ended;
    delete from auto_backup.frozen f where f.export_id = export_end.export;
    if ended.export_id is not null and alert then
        perform auto_backup.offsite_incident(ended.backup, ended.destination, ended.code, ended.error, export_end.at);
    end if;
end
$body$;
