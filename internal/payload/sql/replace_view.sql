-- Installs the view history, unless it is as it should be: to replace a view locks it
-- against its readers. It comes after the tables and the functions, because they may
-- just have been repaired.
do $do$
begin
    if auto_backup_wanted.catalog('auto_backup') -> 'view history'
        is distinct from auto_backup_wanted.catalog('auto_backup_wanted') -> 'view history'
    then
        execute 'create or replace view auto_backup.history as '
            || replace(pg_get_viewdef('auto_backup_wanted.history'::regclass), 'auto_backup_wanted.', 'auto_backup.');
    end if;
    execute format(
        'comment on view auto_backup.history is %L', obj_description('auto_backup_wanted.history'::regclass, 'pg_class')
    );
end
$do$;
