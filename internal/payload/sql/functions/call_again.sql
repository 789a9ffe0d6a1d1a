-- Sends the request of a run again that the gateway refused (401), with the keys shown
-- in the next way, and signed again, because its time has passed. The run goes on from
-- now as if it had been requested now. Returns false, and changes nothing, if there is
-- no other way, or if it is too late: a newer run of the schedule was requested, or
-- another run has made the backup.
create or replace function auto_backup.call_again(run auto_backup.runs, at timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    request bigint;
begin
    if exists (
        select from auto_backup.runs r
        where r.backup = run.backup and r.requested_at > run.requested_at and r.requested_at <= call_again.at
        and (r.schedule = run.schedule or r.state = 'succeeded')
    ) then
        return false;
    end if;
    run.refused_ids := run.refused_ids || run.request_id;
    request := auto_backup.call(run);
    if request is null then
        return false;
    end if;
    update auto_backup.runs r
    set
        state = 'requested', request_id = request, refused_ids = run.refused_ids,
        requested_at = call_again.at, posted_at = now(),
        http_status = null, http_error = null, answered_at = null
    where r.run_id = run.run_id;
    return true;
end
$body$;
