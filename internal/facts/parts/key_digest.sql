-- name: key_digest
-- The SHA-256 of the watchdog's key in the vault. Vault's view may be gone, or closed
-- to the function's owner: the function would raise.
-- kind: text
-- of: backup
-- with: callable
-- parameters: backup
select format($q$select jsonb_build_object('digest', auto_backup.key_digest(%L::text))$q$, :'backup')
from callable f
inner join pg_proc p on p.oid = f.oid
inner join pg_namespace n on n.nspname = 'vault'
inner join pg_class c on c.relnamespace = n.oid and c.relname = 'decrypted_secrets'
where f.name = 'key_digest' and p.pronargs = 1 and p.proargtypes[0] = 'text'::regtype and p.prorettype = 'text'::regtype
and has_schema_privilege(p.proowner, n.oid, 'usage') and has_table_privilege(p.proowner, c.oid, 'select')
