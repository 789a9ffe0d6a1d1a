-- Creates a function or procedure.
create or replace function auto_backup.schema_function(function oid)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return (
        select concat_ws(
            E'\n',
            rtrim(pg_catalog.pg_get_functiondef(p.oid), E'\n') || ';',
            auto_backup.schema_comment(
                concat(case p.prokind when 'p' then 'procedure ' else 'function ' end, p.oid::regprocedure), 'pg_proc'::regclass, p.oid
            )
        )
        from pg_catalog.pg_proc p
        where p.oid = schema_function.function
    );
end
$body$;
