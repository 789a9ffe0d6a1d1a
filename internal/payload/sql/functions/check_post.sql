-- Queues the request of a look at a destination to the function. Returns false if the
-- gateway has refused every way to show the keys.
create or replace function auto_backup.check_post(check_id bigint, at timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    current auto_backup.export_checks;
    call constant uuid := gen_random_uuid();
    request bigint;
begin
    select c.* into current from auto_backup.export_checks c where c.check_id = check_post.check_id;
    request := auto_backup.post(
        current.backup, jsonb_build_object('action', 'offsite_check', 'run_id', call, 'export', current.check_id), 10000, current.refused
    );
    if request is null then
        return false;
    end if;
    update auto_backup.export_checks c
    set call_id = call, request_id = request, requested_at = check_post.at, posted_at = now()
    where c.check_id = current.check_id;
    return true;
end
$body$;
