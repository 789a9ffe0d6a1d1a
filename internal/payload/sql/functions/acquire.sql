-- Acquires the lease on a backup for `holder`, unless another holder has it and it
-- has not expired. The same holder renews it. Returns whether the caller has the
-- lease now, which process has it, since when, and for how many more seconds.
create or replace function auto_backup.acquire(backup text, holder text, process text, term interval)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '60s'
as $body$
begin
    insert into auto_backup.leases as l (backup, holder, process, term, since, expires_at)
    values (
        acquire.backup, acquire.holder, acquire.process, acquire.term,
        clock_timestamp(), clock_timestamp() + acquire.term
    )
    on conflict on constraint leases_pkey do update
    set
        holder = excluded.holder, process = excluded.process, term = excluded.term, expires_at = excluded.expires_at,
        since = case when l.holder = excluded.holder then l.since else excluded.since end
    where l.holder = excluded.holder or l.expires_at < clock_timestamp();

    return (
        select jsonb_build_object(
            'acquired', l.holder = acquire.holder, 'process', l.process,
            'since', to_char(l.since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'seconds', extract(epoch from l.expires_at - clock_timestamp())
        )
        from auto_backup.leases l
        where l.backup = acquire.backup
    );
end
$body$;
