-- Creates or replaces one vault secret and returns its id.
-- Every function has its schema, because the value is a secret; see postgres.DB.
-- $1 is its name, $2 its value, $3 its description, $4 the backup that it
-- belongs to, $5 the holder of the backup's lease.
with existing as (
    select s.id, vault.update_secret(s.id, $2::text, null, $3::text) as updated
    from vault.secrets s
    where s.name = $1::text
)

select pg_catalog.to_jsonb(coalesce(
    (select e.id from existing e),
    case when not exists (select from vault.secrets s where s.name = $1::text)
        then vault.create_secret($2::text, $1::text, $3::text)
    end
)) as result
from auto_backup.renew($4::text, $5::text)
