-- The tables that a session has locked so that nobody can read them, with the session.
select jsonb_object_agg(t.name, t.holder) as result
from (
    select distinct on (l.relation)
        format('%I.%I', n.nspname, c.relname) as name,
        jsonb_build_object(
            'process', l.pid, 'role', a.usename, 'application', left(a.application_name, 64), 'state', a.state, 'since', a.xact_start
        ) as holder
    from pg_locks l
    inner join pg_class c on c.oid = l.relation and c.relkind in ('r', 'p', 'v', 'm', 'f')
    inner join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'auto_backup', 'cron', 'net', 'vault')
    left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.granted and l.pid <> pg_backend_pid()
    and l.database in (0, (select d.oid from pg_database d where d.datname = current_database()))
    order by l.relation, a.xact_start
    limit 20
) as t
