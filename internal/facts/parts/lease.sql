-- name: lease
-- The lease on a backup that has not expired. It is only a remark to a plan, so it is
-- left out where it could not be read, or where reading it would wait for an apply.
-- kind: text
-- of: backup
-- wants: auto_backup.leases
-- parameters: backup
select format($q$
    select jsonb_build_object(
        'process', l.process, 'since', l.since, 'renewed_at', l.expires_at - l.term, 'expires_at', l.expires_at, 'read_at', now()
    )
    from auto_backup.leases l
    where l.backup = %L and l.expires_at > now() and isfinite(l.expires_at) and isfinite(l.since)
    and l.term < '1 day'
$q$, :'backup')
from probed p
where p.relation = 'auto_backup.leases' and p.state = 'readable'
and (
    select count(*) = 5
    from pg_attribute a
    inner join (
        values ('backup', 'text'), ('process', 'text'), ('term', 'interval'), ('since', 'timestamptz'), ('expires_at', 'timestamptz')
    ) as c (name, type) on a.attname = c.name and a.atttypid = c.type::regtype
    where a.attrelid = p.oid and not a.attisdropped
)
