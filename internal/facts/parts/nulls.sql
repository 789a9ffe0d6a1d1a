-- name: nulls
-- Which nullable columns of the tables that the code names do hold a null, where
-- another of these tables has a column of the name that takes none. A large table
-- is not read for it: see null_statistics. Nor is one that the code truncates: a
-- read would wait for a backup that is under way, or make it wait.
-- kind: text
-- with: relation
select
    'select jsonb_object_agg(t.name, t.columns) from (select null::text as name, null::jsonb as columns where false'
    || coalesce(string_agg(format(
        ' union all select %L, jsonb_strip_nulls(jsonb_build_object(%s)) from %I.%I',
        r.nspname || '.' || r.relname, c.list, r.nspname, r.relname
    ), ''), '')
    || ') as t'
from relation r
inner join lateral (
    select string_agg(format('%L, nullif(bool_or(%I is null), false)', a.attname, a.attname), ', ') as list
    from pg_attribute a
    where a.attrelid = r.oid and a.attnum between 1 and 40 and not a.attisdropped and not a.attnotnull
    and exists (
        select from relation o
        inner join pg_attribute b on b.attrelid = o.oid and b.attname = a.attname and b.attnotnull and not b.attisdropped
        where o.detailed and o.oid <> r.oid
    )
) as c on c.list is not null
where r.detailed and r.mentioned and r.readable and not r.truncated and r.relkind in ('r', 'p', 'm') and r.relpages < 8192
