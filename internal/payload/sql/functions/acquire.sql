-- Takes the lease on a backup for `holder`, if nobody else has it or has let it
-- end. Asking again as the same holder lengthens it. Answers with who has it
-- then, since when, and for how many seconds more.
create or replace function auto_backup.acquire(backup text, holder text, who text, term interval)
returns jsonb
language plpgsql
set search_path = ''
as $body$
begin
    insert into auto_backup.leases as l (backup, holder, who, term, since, expires_at)
    values (
        acquire.backup, acquire.holder, acquire.who, acquire.term,
        clock_timestamp(), clock_timestamp() + acquire.term
    )
    on conflict on constraint leases_pkey do update
    set
        holder = excluded.holder, who = excluded.who, term = excluded.term, expires_at = excluded.expires_at,
        since = case when l.holder = excluded.holder then l.since else excluded.since end
    where l.holder = excluded.holder or l.expires_at < clock_timestamp();

    return (
        select jsonb_build_object(
            'held', l.holder = acquire.holder, 'who', l.who, 'since', to_char(l.since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'seconds', extract(epoch from l.expires_at - clock_timestamp())
        )
        from auto_backup.leases l
        where l.backup = acquire.backup
    );
end
$body$;
