-- Records that a worker could not go on, and gives up its claim: {"code", "message",
-- "status" of HTTP, "sqlstate", "retry" (false if somebody has to change something
-- first), "retry_after_ms"}. Returns {"failures" in a row, "next_at"}.
create or replace function auto_backup.export_failed(export bigint, worker uuid, problem jsonb, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
declare
    moment constant timestamptz := coalesce(export_failed.at, clock_timestamp());
begin
    perform auto_backup.export_renew(export_failed.export, export_failed.worker, moment);
    return auto_backup.export_note(export_failed.export, export_failed.problem, moment);
end
$body$;
