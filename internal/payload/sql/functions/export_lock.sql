-- Locks a table of an export against being changed or renamed until this transaction
-- ends. What does not exist or is not a table is not locked.
create or replace function auto_backup.export_lock(schema text, name text)
returns void
language plpgsql
set search_path = ''
as $body$
begin
    if exists (
        select from pg_catalog.pg_class c
        where c.oid = pg_catalog.to_regclass(format('%I.%I', export_lock.schema, export_lock.name)) and c.relkind in ('r', 'p')
    ) then
        execute format('lock table %I.%I in access share mode', export_lock.schema, export_lock.name);
    end if;
end
$body$;
