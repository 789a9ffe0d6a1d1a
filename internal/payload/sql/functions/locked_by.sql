-- Which session has locked a table or rows of it, as the end of a sentence about an
-- error: empty if the error is another one than that a lock was waited for too long.
--
-- When the error is caught, nobody waits any more, so pg_blocking_pids knows nothing. A
-- session that has the whole table in a mode against reading or writing comes first,
-- then one that waits for such a lock and lets nobody pass, then the oldest that has
-- changed or locked rows. One that has only read holds nobody up.
create or replace function auto_backup.locked_by(relation text, state text)
returns text
language sql
stable
set search_path = ''
as $body$
    select case when locked_by.state = '55P03' then coalesce((
        select format(
            ', ' || case
                when not m.whole then 'where process %s has locked rows'
                when l.granted then 'which process %s has locked'
                else 'which process %s is about to lock'
            end || ' (role %s, %s)',
            l.pid, coalesce(a.usename::text, 'unknown'),
            auto_backup.plain(concat_ws(
                ', ', nullif(a.application_name, ''), a.state, 'since ' || auto_backup.rfc3339(date_trunc('second', a.xact_start))
            ))
        )
        from pg_catalog.pg_locks l
        left join pg_catalog.pg_stat_activity a on a.pid = l.pid
        cross join lateral (
            select l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') as whole
        ) as m
        where l.locktype = 'relation' and l.relation = pg_catalog.to_regclass(locked_by.relation)
        and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
        and l.pid <> pg_catalog.pg_backend_pid()
        and (m.whole or (l.granted and l.mode in ('RowShareLock', 'RowExclusiveLock') and exists (
            select from pg_catalog.pg_locks x where x.pid = l.pid and x.locktype = 'transactionid' and x.mode = 'ExclusiveLock'
        )))
        order by m.whole desc, l.granted desc, l.mode <> 'AccessExclusiveLock', a.xact_start
        limit 1
    ), '') else '' end
$body$;
