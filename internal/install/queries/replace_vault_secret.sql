-- Replaces one vault secret by a new one of the same name and returns its id, where
-- put_vault_secret.sql cannot: vault.update_secret decrypts the old value first, and
-- fails if it was encrypted with another project's key.
-- Every function has its schema, because the value is a secret; see postgres.DB.
-- $1 is its name, $2 its value, $3 its description, $4 the backup that it
-- belongs to, $5 the holder of the backup's lease.
with gone as (
    delete from vault.secrets s where s.name = $1::text returning s.id
)

-- The count makes the deletion come first.
select pg_catalog.to_jsonb(vault.create_secret($2::text, $1::text, $3::text)) as result
from (select pg_catalog.count(*) from gone) as g, auto_backup.renew($4::text, $5::text)
