-- name: leased
-- The backups on which an apply holds the lease, with or without settings. It is left out
-- where the part lease would be.
-- kind: text
-- wants: auto_backup.leases
select $q$
    select jsonb_agg(l.backup order by l.backup) from auto_backup.leases l where l.expires_at > now()
$q$
from probed p
where p.relation = 'auto_backup.leases' and p.state = 'readable'
and (
    select count(*) = 2
    from pg_attribute a
    inner join (values ('backup', 'text'), ('expires_at', 'timestamptz')) as c (name, type)
        on a.attname = c.name and a.atttypid = c.type::regtype
    where a.attrelid = p.oid and not a.attisdropped
)
