-- Removes the vault secrets of one backup that carry its ownership marker.
-- $1 to $3 are their names, $4 is the marker, $5 the backup, $6 the holder of its
-- lease.
with gone as (
    delete from vault.secrets s
    where s.name in ($1::text, $2::text, $3::text) and s.description = $4::text
    returning s.name
)

select (select coalesce(jsonb_agg(g.name), '[]'::jsonb) from gone g) as result
from auto_backup.renew($5::text, $6::text)
