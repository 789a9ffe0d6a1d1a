-- Removes the vault secrets of one backup that carry its ownership marker.
-- $1 are their names, a JSON array, $2 is the marker, $3 the backup, $4 the holder of
-- its lease.
with gone as (
    delete from vault.secrets s
    where $1::jsonb ? s.name and s.description = $2::text
    returning s.name
)

select (select coalesce(jsonb_agg(g.name), '[]'::jsonb) from gone g) as result
from auto_backup.renew($3::text, $4::text)
