-- name: log_rights
-- Which rights service_role lacks on the log tables.
-- kind: value
select coalesce(jsonb_agg(p.privilege || ' on ' || p.relation order by p.relation, p.privilege), '[]')
from (
    values
    ('backup_logs', 'SELECT'), ('backup_logs', 'INSERT'), ('backup_logs', 'UPDATE'),
    ('system_logs', 'SELECT'), ('system_logs', 'INSERT'), ('system_logs', 'UPDATE')
) as p (relation, privilege)
inner join pg_namespace n on n.nspname = 'public'
inner join pg_class c on c.relnamespace = n.oid and c.relname = p.relation
inner join pg_roles s on s.rolname = 'service_role'
where not has_table_privilege(s.oid, c.oid, p.privilege)
