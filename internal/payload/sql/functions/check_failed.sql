-- Records that a worker could not go on with a look at a destination: {"code",
-- "message", "status"}.
create or replace function auto_backup.check_failed(check_id bigint, worker uuid, problem jsonb, at timestamptz default null)
returns void
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
declare
    moment constant timestamptz := coalesce(check_failed.at, clock_timestamp());
begin
    perform auto_backup.check_renew(check_failed.check_id, check_failed.worker, moment);
    perform auto_backup.check_note(check_failed.check_id, check_failed.problem, moment);
end
$body$;
