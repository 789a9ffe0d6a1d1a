-- Creates missing tables, empty and without keys, because functions have arguments of
-- their types. The keys follow with everything else that differs.
do $do$
declare
    missing name;
begin
    for missing in
        select c.relname
        from pg_class c
        where c.relnamespace = 'auto_backup_wanted'::regnamespace and c.relkind = 'r'
        and to_regclass(format('auto_backup.%I', c.relname)) is null
    loop
        execute format(
            'create table auto_backup.%1$I (like auto_backup_wanted.%1$I including defaults including identity)', missing
        );
    end loop;
end
$do$;
