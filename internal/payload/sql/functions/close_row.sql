-- Writes how a run ended to its row in public.backup_logs, if that still says that the
-- run has begun: the panel shows only this row. Returns why it could not be written,
-- or null.
create or replace function auto_backup.close_row(run_id uuid)
returns text
language plpgsql
set search_path = ''
as $body$
declare
    run auto_backup.runs;
begin
    select r.* into run from auto_backup.runs r where r.run_id = close_row.run_id;
    perform auto_backup.write_outside('close', jsonb_build_object(
        'run_id', run.run_id,
        'success', run.state = 'succeeded',
        'records', coalesce(run.records, 0),
        'details', case run.state
            when 'succeeded' then
                format('Backup automático ID: %s - Total: %s registros', run.backup_id, coalesce(run.records, 0))
            else 'Backup automático interrompido: ' || auto_backup.reason(run.code, run.sqlstate, run.error)
        end
    ));
    return null;
exception
    when others then
        return 'public.backup_logs cannot be written: ' || auto_backup.plain(sqlerrm) || auto_backup.locked_by('public.backup_logs', sqlstate);
end
$body$;
