-- name: filled
-- Which tables hold rows: those of the application, its users and its files. The
-- statistics are enough for that, and need no lock.
-- kind: value
-- with: relation
select jsonb_agg(r.nspname || '.' || r.relname order by r.nspname, r.relname)
from relation r
inner join pg_class c on c.oid = r.oid
where r.relkind in ('r', 'p', 'm')
and (r.nspname = 'public' or (r.nspname, r.relname) in (('auth', 'users'), ('storage', 'objects')))
and (c.reltuples > 0 or pg_stat_get_live_tuples(c.oid) > 0)
and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype = 'e')
