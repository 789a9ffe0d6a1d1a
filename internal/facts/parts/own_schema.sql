-- name: own_schema
-- The owner of schema auto_backup.
-- kind: value
-- with: person
select jsonb_build_object('owner', r.rolname, 'owned', pg_has_role(p.oid, n.nspowner, 'usage'))
from pg_namespace n
inner join pg_roles r on r.oid = n.nspowner
left join person p on p.role = 'postgres'
where n.nspname = 'auto_backup'
