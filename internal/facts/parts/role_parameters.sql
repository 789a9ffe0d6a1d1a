-- name: role_parameters
-- Configuration parameters that are set for roles that matter, for all roles, or for the database.
-- kind: value
select jsonb_agg(jsonb_build_object(
    'role', coalesce(r.rolname, ''), 'database', s.setdatabase <> 0,
    'name', split_part(setting, '=', 1), 'value', substr(setting, strpos(setting, '=') + 1)
))
from pg_db_role_setting s
left join pg_roles r on r.oid = s.setrole
cross join unnest(s.setconfig) as setting
where (s.setrole = 0 or r.rolname in ('postgres', 'service_role', 'authenticator'))
and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
