-- name: cron_owner_writes
-- Whether the owner of the extension pg_cron, as whom it writes its tables, may do so.
-- kind: value
select to_jsonb(bool_and(has_table_privilege(e.extowner, c.oid, r.right) and has_schema_privilege(e.extowner, n.oid, 'usage')))
from pg_extension e
inner join pg_namespace n on n.nspname = 'cron'
inner join pg_class c on c.relnamespace = n.oid and c.relname = 'job'
cross join (values ('select'), ('insert'), ('update'), ('delete')) as r ("right")
where e.extname = 'pg_cron'
