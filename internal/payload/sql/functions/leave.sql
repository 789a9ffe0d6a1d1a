-- Records in a backup's settings that it is about to be removed. If no other backup
-- remains, it restores the CHECKs of public.backup_logs and returns the result of
-- restore_log_constraint. Backups that are removed at the same time wait for each
-- other here, so that the last one knows that it is the last.
create or replace function auto_backup.leave(backup text)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '60s'
as $body$
begin
    perform from auto_backup.installation i for update;
    update auto_backup.settings s set document = s.document || '{"leaving": true}' where s.backup = leave.backup;
    -- The job of a drill that was requested and has not begun.
    perform cron.unschedule(j.jobid) from cron.job j where j.jobname = leave.backup || '-drill_now' and j.username = current_user;
    if exists (
        select from auto_backup.settings s
        where s.backup <> leave.backup and not coalesce((s.document ->> 'leaving')::boolean, false)
    ) then
        return '[]';
    end if;
    return auto_backup.restore_log_constraint();
end
$body$;
