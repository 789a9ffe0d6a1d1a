-- name: calls
-- What the installation calls, and whether role postgres may.
-- kind: value
-- with: person
select jsonb_object_agg(f.name, f.allowed)
from (
    select
        n.nspname || '.' || p.proname as name,
        bool_or(has_function_privilege(o.oid, p.oid, 'execute') and has_schema_privilege(o.oid, n.oid, 'usage')) as allowed
    from pg_proc p
    inner join pg_namespace n on n.oid = p.pronamespace
    left join person o on o.role = 'postgres'
    where (n.nspname, p.proname) in (
        ('cron', 'schedule'), ('cron', 'alter_job'), ('cron', 'unschedule'),
        ('net', 'http_post'), ('vault', 'create_secret'), ('vault', 'update_secret')
    )
    -- The arguments that the dispatcher names.
    and (n.nspname <> 'net' or p.proargnames @> '{url,body,headers,timeout_milliseconds}')
    group by 1
) as f
