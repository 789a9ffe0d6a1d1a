-- name: person
-- The roles that matter to a backup.
select r.rolname as role, r.oid from pg_roles r where r.rolname in ('postgres', 'service_role', 'authenticator')
