-- Ends a look of which every object was seen: it has passed, or failed, which opens an
-- incident. Returns {"state"}.
create or replace function auto_backup.check_finish(check_id bigint, worker uuid, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(check_finish.at, clock_timestamp());
    current auto_backup.export_checks;
begin
    current := auto_backup.check_renew(check_finish.check_id, check_finish.worker, moment);
    if exists (select from auto_backup.check_objects(current) o where o.object_id > current.last) then
        raise exception 'auto_backup: check % has not seen all objects', current.check_id using errcode = 'AB031';
    end if;
    update auto_backup.export_checks c
    set
        state = case c.problems when '[]' then 'passed' else 'failed' end, finished_at = moment, worker = null, claimed_until = null,
        code = c.problems #>> '{0,code}', error = auto_backup.plain(c.problems #>> '{0,key}'), http_status = null
    where c.check_id = current.check_id
    returning * into current;
    if current.state = 'failed' then
        perform auto_backup.offsite_incident(current.backup, current.destination, current.code, current.error, moment);
    else
        update auto_backup.incidents i
        set recovered_at = moment
        where i.backup = current.backup and i.kind = 'offsite' and i.destination = current.destination and i.recovered_at is null
        and i.code like 'offsite\_object\_%';
    end if;
    return jsonb_build_object('state', current.state);
end
$body$;
