-- name: available_extensions
-- The extensions that a backup needs, as the server has them.
-- kind: value
select jsonb_object_agg(v.name, jsonb_build_object(
    'available', v.default_version, 'installed', e.extversion, 'schema', n.nspname, 'owner', o.rolname
))
from pg_available_extensions v
left join pg_extension e on e.extname = v.name
left join pg_namespace n on n.oid = e.extnamespace
left join pg_roles o on o.oid = e.extowner
where v.name in ('pg_cron', 'pg_net', 'supabase_vault')
