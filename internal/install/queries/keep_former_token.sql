-- Keeps the token of backup $1 as the former one, before another takes its place: runs
-- in progress sign their outcomes with it. $2 is the name of the token's vault secret,
-- $3 that of the former one's, $4 the description, $5 the holder of the backup's lease.
with token as materialized (
    select v.decrypted_secret as value from vault.decrypted_secrets v where v.name = $2::text
),

-- It may be another project's, and then vault.update_secret could not replace it.
gone as (
    delete from vault.secrets s where s.name = $3::text returning s.id
)

-- The count makes the deletion come first.
select to_jsonb(vault.create_secret(t.value, $3::text, $4::text)) as result
from (select count(*) from gone) as g, token t, auto_backup.renew($1::text, $5::text)
