-- Which session has locked a table, as the end of a sentence about an error: empty if
-- the error is another one than that a lock was waited for too long.
create or replace function auto_backup.locked_by(relation text, state text)
returns text
language sql
stable
set search_path = ''
as $body$
    select case when locked_by.state = '55P03' then coalesce((
        select format(
            ', which process %s has locked (role %s, %s)', l.pid, coalesce(a.usename::text, 'unknown'),
            auto_backup.plain(concat_ws(
                ', ', nullif(a.application_name, ''), a.state, 'since ' || auto_backup.rfc3339(date_trunc('second', a.xact_start))
            ))
        )
        from pg_catalog.pg_locks l
        left join pg_catalog.pg_stat_activity a on a.pid = l.pid
        where l.locktype = 'relation' and l.relation = pg_catalog.to_regclass(locked_by.relation) and l.granted
        and l.pid <> pg_catalog.pg_backend_pid()
        order by l.mode <> 'AccessExclusiveLock', a.xact_start
        limit 1
    ), '') else '' end
$body$;
