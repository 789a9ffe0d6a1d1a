-- A backup is about to be removed: its settings say so from now on. When no
-- other backup stays, the CHECKs of public.backup_logs are put back; the answer
-- is that of restore_log_constraint. Backups that are removed at the same time
-- come one after the other here, so that the last of them sees that it is.
create or replace function auto_backup.leave(backup text)
returns jsonb
language plpgsql
set search_path = ''
as $body$
begin
    perform from auto_backup.installation i for update;
    update auto_backup.settings s set document = s.document || '{"leaving": true}' where s.backup = leave.backup;
    if exists (
        select from auto_backup.settings s
        where s.backup <> leave.backup and not coalesce((s.document ->> 'leaving')::boolean, false)
    ) then
        return '[]';
    end if;
    return auto_backup.restore_log_constraint();
end
$body$;
