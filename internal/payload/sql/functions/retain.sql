-- The command of the retention's job: removes one stored backup that the policy does not
-- keep, the oldest first, from all tables in one transaction. The run history then says
-- from which tables, and the watchdog's row what the newest tick removed, or why it
-- removed nothing, which is also returned.
--
-- Only backups of the run history that succeeded and that the tables still hold are
-- counted and removed; what others have made stays.
create or replace function auto_backup.retain(backup text, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(retain.at, now());
    result jsonb;
begin
    if pg_catalog.current_setting('transaction_read_only')::boolean then
        return '{"skipped": "the database is read-only"}';
    end if;
    result := jsonb_build_object('skipped', auto_backup.retain_refusal(retain.backup, moment));
    if result -> 'skipped' = 'null' then
        begin
            result := auto_backup.retain_next(retain.backup, moment);
        exception
            when lock_not_available then
                result := '{"skipped": "another session has locked a table"}';
        end;
    end if;
    begin
        update auto_backup.watchdog w
        set retention = result || jsonb_build_object('at', auto_backup.rfc3339(moment))
        where w.backup = retain.backup;
    exception
        when lock_not_available then
            null; -- The next tick tells.
    end;
    return result;
end
$body$;
