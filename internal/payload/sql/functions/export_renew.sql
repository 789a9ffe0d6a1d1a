-- Extends a worker's claim on an export, and returns the export. Raises AB030 if the
-- claim is another's, or the export has ended: then this worker may write nothing more.
create or replace function auto_backup.export_renew(export bigint, worker uuid, at timestamptz)
returns auto_backup.exports
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    claimed auto_backup.exports;
begin
    update auto_backup.exports e
    set claimed_until = export_renew.at + interval '150 seconds'
    where e.export_id = export_renew.export and e.worker = export_renew.worker and e.state = 'open'
    returning * into claimed;
    if not found then
        raise exception 'auto_backup: this worker no longer has the claim on export %', export_renew.export using errcode = 'AB030';
    end if;
    return claimed;
end
$body$;
