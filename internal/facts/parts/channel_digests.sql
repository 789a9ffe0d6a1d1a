-- name: channel_digests
-- The SHA-256 of each secret of the heartbeat and of the webhooks in the vault, by its
-- name there. Vault's view may be gone, or closed to the function's owner: the function
-- would raise.
-- kind: text
-- of: backup
-- with: callable
-- parameters: backup
select format($q$select auto_backup.channel_digests(%L::text)$q$, :'backup')
from callable f
inner join pg_proc p on p.oid = f.oid
inner join pg_namespace n on n.nspname = 'vault'
inner join pg_class c on c.relnamespace = n.oid and c.relname = 'decrypted_secrets'
where f.name = 'channel_digests' and p.pronargs = 1 and p.proargtypes[0] = 'text'::regtype and p.prorettype = 'jsonb'::regtype
and has_schema_privilege(p.proowner, n.oid, 'usage') and has_table_privilege(p.proowner, c.oid, 'select')
