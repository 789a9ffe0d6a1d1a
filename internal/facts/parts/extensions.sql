-- name: extensions
-- The installed ones of the extensions that a backup needs, with their versions.
-- kind: value
select coalesce(jsonb_object_agg(e.extname, e.extversion), '{}')
from pg_extension e where e.extname in ('pg_cron', 'pg_net', 'supabase_vault')
