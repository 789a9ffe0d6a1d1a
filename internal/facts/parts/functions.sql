-- name: functions
-- The functions of schema auto_backup, with the SHA-256 of their bodies. Where two
-- have one name, neither is right.
-- kind: value
select coalesce(jsonb_object_agg(f.name, f.digest), '{}')
from (
    select p.proname as name, string_agg(encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'), ' ') as digest
    from pg_proc p
    inner join pg_namespace n on n.oid = p.pronamespace
    where n.nspname = 'auto_backup'
    group by p.proname
) as f
