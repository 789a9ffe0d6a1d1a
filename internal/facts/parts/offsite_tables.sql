-- name: offsite_tables
-- The tables that off-site copies name, with their sizes as the catalogs have
-- them, and whether role postgres may read them. One that does not exist is not in it.
-- kind: value
-- parameters: offsite
select jsonb_object_agg(w.name, jsonb_build_object(
    'kind', c.relkind, 'bytes', greatest(c.relpages, 0)::bigint * 8192,
    'readable', coalesce(has_schema_privilege(p.oid, n.oid, 'usage') and has_table_privilege(p.oid, c.oid, 'select'), false)
))
from jsonb_array_elements_text(:'offsite'::jsonb) as w (name)
inner join pg_namespace n on n.nspname = split_part(w.name, '.', 1)
inner join pg_class c on c.relnamespace = n.oid and c.relname = substr(w.name, strpos(w.name, '.') + 1) and c.relkind in ('r', 'p', 'v', 'm', 'f')
left join pg_roles p on p.rolname = 'postgres'
