-- Writes a row of type auto_backup_error to public.system_logs. Returns null, or why
-- that was not possible.
create or replace function auto_backup.report(message text, context jsonb)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
begin
    perform auto_backup.write_outside('log', jsonb_build_object(
        'type', 'auto_backup_error', 'message', report.message,
        'context', report.context || '{"reported_by": "watchdog"}'
    ));
    return null;
exception
    when others then
        return 'public.system_logs cannot be written: ' || auto_backup.plain(sqlerrm) || auto_backup.locked_by('public.system_logs', sqlstate);
end
$body$;
