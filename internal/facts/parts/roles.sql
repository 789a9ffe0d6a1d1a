-- name: roles
-- What the roles may do that matter to a backup.
-- kind: value
-- with: person
select jsonb_object_agg(p.role, jsonb_build_object(
    'bypasses_rls', r.rolbypassrls or r.rolsuper,
    'member_of_service_role', pg_has_role(p.oid, s.oid, 'member'),
    'uses_public', has_schema_privilege(p.oid, u.oid, 'usage'),
    'creates_schemas', has_database_privilege(p.oid, current_database(), 'create')
))
from person p
inner join pg_roles r on r.oid = p.oid
left join pg_roles s on s.rolname = 'service_role'
left join pg_namespace u on u.nspname = 'public'
