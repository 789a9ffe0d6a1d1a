-- A section of the schema of an export, "before" or "after", as SQL; see schema_sql. It
-- holds the bodies of functions, and so whatever is written in them.
create or replace function auto_backup.export_schema(export bigint, worker uuid, section text, at timestamptz default null)
returns text
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    current auto_backup.exports;
begin
    current := auto_backup.export_renew(export_schema.export, export_schema.worker, coalesce(export_schema.at, clock_timestamp()));
    if current.stage <> 'schema' or section not in ('before', 'after') then
        raise exception 'auto_backup: export % is at %, and has no section % of its schema now', current.export_id, current.stage, section using errcode = 'AB031';
    end if;
    return (
        select auto_backup.schema_sql(o.relations, o.routines, section, o.types)
        from auto_backup.settings s
        cross join lateral auto_backup.export_schema_objects(current.tables, s.document) as o
        where s.backup = current.backup
    );
end
$body$;
