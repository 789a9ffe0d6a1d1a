-- Extends a worker's claim on a look at a destination, and returns it. Raises AB030 if
-- the claim is another's, or the look has ended.
create or replace function auto_backup.check_renew(check_id bigint, worker uuid, at timestamptz)
returns auto_backup.export_checks
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    claimed auto_backup.export_checks;
begin
    update auto_backup.export_checks c
    set claimed_until = check_renew.at + interval '150 seconds'
    where c.check_id = check_renew.check_id and c.worker = check_renew.worker and c.state = 'open'
    returning * into claimed;
    if not found then
        raise exception 'auto_backup: this worker no longer has the claim on check %', check_renew.check_id using errcode = 'AB030';
    end if;
    return claimed;
end
$body$;
