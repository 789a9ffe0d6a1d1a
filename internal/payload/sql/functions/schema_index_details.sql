-- What is stated about an index after it has been created: statistics of its
-- expressions, the order of the table, its comment.
create or replace function auto_backup.schema_index_details(index oid)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return (
        select nullif(concat_ws(
            E'\n',
            (
                select string_agg(
                    format('alter index %s alter column %s set statistics %s;', x.indexrelid::regclass, a.attnum, a.attstattarget), E'\n' order by a.attnum
                )
                from pg_catalog.pg_attribute a
                where a.attrelid = x.indexrelid and a.attstattarget >= 0
            ),
            case when x.indisclustered then format('alter table %s cluster on %I;', x.indrelid::regclass, i.relname) end,
            auto_backup.schema_comment('index ' || x.indexrelid::regclass, 'pg_class'::regclass, x.indexrelid)
        ), '')
        from pg_catalog.pg_index x
        inner join pg_catalog.pg_class i on i.oid = x.indexrelid
        where x.indexrelid = schema_index_details.index
    );
end
$body$;
