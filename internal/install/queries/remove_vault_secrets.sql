-- Removes the vault secrets of one backup that carry its ownership marker.
-- $1 and $2 are their names, $3 is the marker, $4 the backup, $5 the holder of
-- its lease.
with gone as (
    delete from vault.secrets s
    where s.name in ($1::text, $2::text) and s.description = $3::text
    returning s.name
)

select (select coalesce(jsonb_agg(g.name), '[]'::jsonb) from gone g) as result
from auto_backup.renew($4::text, $5::text)
