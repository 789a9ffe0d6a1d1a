-- The functions of a schema whose text names the schema public. $1 is the schema.
select coalesce(pg_catalog.json_agg(p.proname order by p.proname), '[]'::json) as result
from pg_catalog.pg_proc p
inner join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname = $1::text and p.prosrc ~ '\mpublic\.'
