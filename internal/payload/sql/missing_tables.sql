-- Creates missing tables, empty and without keys, because functions have arguments of
-- their types. The keys follow with everything else that differs.
do $do$
declare
    missing record;
begin
    for missing in
        select c.relname, c.relpersistence
        from pg_class c
        where c.relnamespace = 'auto_backup_wanted'::regnamespace and c.relkind = 'r'
        and to_regclass(format('auto_backup.%I', c.relname)) is null
    loop
        execute format(
            'create %2$s table auto_backup.%1$I (like auto_backup_wanted.%1$I including defaults including identity)',
            missing.relname, case missing.relpersistence when 'u' then 'unlogged' end
        );
    end loop;
end
$do$;
