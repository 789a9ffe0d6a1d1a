-- Records what PostgreSQL said when the rows of an export were read, by its SQLSTATE and
-- the name of a table: its message can contain values of a row. Returns {"failed"}.
create or replace function auto_backup.export_trouble(export bigint, state text, object text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    problem jsonb := jsonb_build_object(
        'code', case
            when state in ('55P03', '40P01', '40001') then 'offsite_table_locked'
            when state = '57014' then 'offsite_rows_timeout'
            when state like '53%' then 'offsite_disk_full'
            when state = 'AB032' then 'offsite_frozen_too_large'
            when state in ('42P01', '42703', '42804', '42883') then 'offsite_table_changed'
            else 'offsite_unreadable'
        end,
        'message', object, 'sqlstate', state
    );
begin
    problem := problem || jsonb_build_object('retry', problem ->> 'code' not in ('offsite_unreadable', 'offsite_frozen_too_large'));
    if problem ->> 'code' = 'offsite_table_changed' then
        perform auto_backup.export_restart(export_trouble.export, false);
    end if;
    perform auto_backup.export_note(export_trouble.export, problem, export_trouble.at);
    return jsonb_build_object('failed', problem);
end
$body$;
