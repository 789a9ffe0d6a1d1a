-- Queues the request of an export to the function: the next call goes on with it.
-- Returns false if the gateway has refused every way to show the keys.
create or replace function auto_backup.export_post(export bigint, at timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    current auto_backup.exports;
    call constant uuid := gen_random_uuid();
    request bigint;
begin
    select e.* into current from auto_backup.exports e where e.export_id = export_post.export;
    request := auto_backup.post(
        current.backup, jsonb_build_object('action', 'export', 'run_id', call, 'export', current.export_id), 10000, current.refused
    );
    if request is null then
        return false;
    end if;
    update auto_backup.exports e
    set call_id = call, request_id = request, requested_at = export_post.at, posted_at = now(), calls = e.calls + 1
    where e.export_id = current.export_id;
    return true;
end
$body$;
