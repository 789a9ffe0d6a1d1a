-- name: routines
-- The functions of the name of the one that makes the backup; with their text, if
-- code is read.
-- kind: value
-- with: routine, person
-- parameters: code
select jsonb_agg(jsonb_build_object(
    'schema', r.schema, 'kind', r.prokind, 'volatile', r.provolatile = 'v', 'definer', r.prosecdef, 'set', r.proretset,
    'required', r.required, 'arguments', r.pronargs, 'signature', r.oid::regprocedure::text,
    'language', r.lanname, 'type', r.typname, 'type_kind', r.typtype, 'result_columns', r.result_columns,
    'source', case when :'code' is not null then r.source end,
    'config', r.proconfig, 'owner', o.rolname, 'owner_bypasses_rls', o.rolbypassrls or o.rolsuper,
    'callable', s.oid is null or has_function_privilege(s.oid, r.oid, 'execute')
) order by r.schema, r.oid)
from routine r
left join pg_roles o on o.oid = r.proowner
left join person s on s.role = 'service_role'
