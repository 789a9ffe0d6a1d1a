-- Removes the oldest backup that the policy does not keep, if there is one, and returns
-- what it removed, why it removed nothing ("skipped"), or what it must not delete as
-- postgres ("refused"). It also forgets runs of more than 400 days ago whose backups no
-- table holds any longer.
create or replace function auto_backup.retain_next(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    document jsonb;
    copies regclass[];
    copy regclass;
    object text;
    held text[] := '{}';
    drill auto_backup.drills;
    restored timestamptz;
    kept timestamptz[];
    surplus auto_backup.runs;
    present boolean;
    rows bigint;
    removed jsonb := '{}';
begin
    select s.document into document from auto_backup.settings s where s.backup = retain_next.backup;
    select coalesce(array_agg(distinct c.copy order by c.copy), '{}') into copies
    from (
        select pg_catalog.to_regclass(format('%I.%I', t.value #>> '{copy,0}', t.value #>> '{copy,1}')) as copy
        from jsonb_array_elements(nullif(document #> '{drill,tables}', 'null')) t
    ) as c
    inner join pg_catalog.pg_attribute a on a.attrelid = c.copy and a.attname = 'backup_id' and not a.attisdropped;
    foreach copy in array copies loop
        -- With this lock, which waits for no backup and stops none, nobody can attach
        -- anything until this transaction ends.
        execute format('lock table %s in row exclusive mode', copy);
        object := auto_backup.retain_untrusted(copy);
        if object is not null then
            return jsonb_build_object('refused', object);
        end if;
        held := held || auto_backup.retain_stored(copy);
    end loop;

    -- What the newest drill has restored must still be there.
    select d.* into drill
    from auto_backup.drills d
    where d.backup = retain_next.backup and d.state = 'successful' and d.started_at <= retain_next.at
    order by d.started_at desc, d.drill_id desc
    limit 1;
    select max(r.finished_at) into restored
    from auto_backup.runs r
    where r.backup = retain_next.backup and r.backup_id = drill.backup_id and r.state = 'succeeded' and r.removed_at is null;
    present := restored is not null;
    for copy in
        select pg_catalog.to_regclass(t.value ->> 'copy')
        from jsonb_array_elements(drill.tables) t
        where (t.value ->> 'rows')::bigint > 0
    loop
        if present and copy = any (copies) then
            execute format('select exists (select from %s b where b.backup_id = %L)', copy, drill.backup_id) into present;
        end if;
    end loop;
    if not present or drill.backup_id::text <> all (held) then
        return '{"skipped": "the backup that the latest drill restored is gone"}';
    end if;

    -- auto_backup.prune leaves the runs of backups to this function, which alone knows
    -- that somebody else has deleted one.
    delete from auto_backup.runs r
    where r.run_id in (
        select o.run_id
        from auto_backup.runs o
        where o.backup = retain_next.backup and o.state = 'succeeded' and o.removed_at is null
        and o.requested_at < least(retain_next.at, now()) - interval '400 days'
        and o.backup_id::text <> all (held)
        order by o.requested_at
        limit 1000
    );

    select auto_backup.retained(
        array_agg(r.finished_at), document -> 'retention', coalesce(document ->> 'timezone', 'UTC'), restored
    ) into kept
    from auto_backup.runs r
    where r.backup = retain_next.backup and r.state = 'succeeded' and r.removed_at is null and r.finished_at <= retain_next.at
    and r.backup_id::text = any (held);
    select r.* into surplus
    from auto_backup.runs r
    where r.backup = retain_next.backup and r.state = 'succeeded' and r.removed_at is null and r.finished_at <= retain_next.at
    and r.backup_id::text = any (held) and r.finished_at <> all (kept)
    -- Another run may have reported the same backup.
    and not exists (
        select from auto_backup.runs o
        where o.backup_id = r.backup_id and o.state = 'succeeded' and (o.backup <> r.backup or o.finished_at > retain_next.at or o.finished_at = any (kept))
    )
    -- A copy of it that is being made or still tried.
    and not exists (
        select from auto_backup.exports e
        where e.backup_id = r.backup_id and e.state = 'open'
        and (e.claimed_until >= retain_next.at or e.opened_at > retain_next.at - interval '1 day')
    )
    order by r.finished_at
    limit 1
    for update skip locked;
    if surplus.run_id is null then
        return '{"skipped": "every backup is kept"}';
    end if;
    foreach copy in array copies loop
        execute format('delete from %s b where b.backup_id = %L', copy, surplus.backup_id);
        get diagnostics rows = row_count;
        removed := removed || jsonb_build_object(copy::text, rows);
    end loop;
    update auto_backup.runs r
    set removed_at = retain_next.at, removed = removed
    where r.backup = retain_next.backup and r.backup_id = surplus.backup_id;
    return jsonb_build_object('backup_id', surplus.backup_id, 'made_at', surplus.finished_at, 'removed', removed);
end
$body$;
