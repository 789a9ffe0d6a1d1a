-- name: rpc
-- Whether the SQL function of a backup's settings can be called as the Edge
-- Function calls it.
-- kind: query
-- of: backup
-- needs: auto_backup.settings (backup, document)
-- parameters: backup
select jsonb_build_object(
    'exists', count(p.oid) > 0,
    'executable', coalesce(bool_or(has_function_privilege(r.oid, p.oid, 'execute')), false)
)
from auto_backup.settings s
left join pg_roles r on r.rolname = 'service_role'
left join pg_namespace n on n.nspname = 'public'
left join pg_proc p
    on p.pronamespace = n.oid and p.proname = s.document #>> '{function,rpc}' and p.pronargs = p.pronargdefaults
where s.backup = :'backup'
group by s.backup
