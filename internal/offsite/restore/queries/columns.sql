-- The columns of a table: null if there is none. $1 is its schema, $2 its name.
select pg_catalog.json_build_object('columns', (
    select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
        'name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'generated', a.attgenerated <> ''
    ) order by a.attnum), '[]'::json)
    from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
)) as result
from pg_catalog.pg_class c
inner join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1::text and c.relname = $2::text and c.relkind in ('r', 'p')
