-- name: relation
-- Every relation, and whether the code names it. If no code is read, only those that
-- are described anyway.
-- with: code, configured
-- parameters: table, code, planning
select
    c.oid, n.nspname, c.relname, c.relkind, c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.relpages,
    strpos(code.backup, lower(c.relname)) > 0 as mentioned,
    strpos(code.truncates, lower(c.relname)) > 0 as truncated,
    -- The log tables; a plan looks at every table that the code names.
    n.nspname = 'public' and (
        c.relname in ('backup_logs', 'system_logs', 'alert_subscriptions', coalesce(:'table', (select f.value ->> 'verify_table' from configured f), ''))
        or (:'planning' is not null and strpos(code.backup, lower(c.relname)) > 0)
    ) as detailed,
    strpos(code.backup, lower(c.relname)) > 0 or strpos(code.triggers, lower(c.relname)) > 0 as named,
    has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
    and not row_security_active(c.oid)
    and not exists (select from locked l where l.oid = c.oid) as readable
from pg_class c
inner join pg_namespace n on n.oid = c.relnamespace
cross join code
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_(toast|temp)'
and (
    :'code' is not null
    or c.relname in ('backup_logs', 'system_logs', 'alert_subscriptions')
    or c.relname = coalesce(:'table', (select f.value ->> 'verify_table' from configured f))
)
