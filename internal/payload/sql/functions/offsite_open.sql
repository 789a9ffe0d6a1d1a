-- Opens an export of the newest backup to a destination if it is due, and ends one that
-- waits in its way: for every backup, or the first one of a day or an ISO week of the
-- backup's time zone. Of several backups that wait, only the newest is copied. Returns
-- the run, or null.
create or replace function auto_backup.offsite_open(backup text, destination text, document jsonb, at timestamptz)
returns uuid
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    plan constant jsonb := document #> array['offsite', 'destinations', destination];
    address constant text := auto_backup.export_address(plan);
    zone constant text := coalesce(document ->> 'timezone', 'UTC');
    unit constant text := case plan ->> 'every' when 'daily' then 'day' when 'weekly' then 'week' end;
    run auto_backup.runs;
    waiting auto_backup.exports;
begin
    select r.* into run
    from auto_backup.runs r
    where r.backup = offsite_open.backup and r.state = 'succeeded' and r.backup_id is not null and r.finished_at <= offsite_open.at
    order by r.finished_at desc
    limit 1;
    if run.run_id is null or run.removed_at is not null or exists (
        select from auto_backup.exports e
        where e.backup = offsite_open.backup and e.destination = offsite_open.destination and e.address = address and e.run_id = run.run_id
    ) then
        return null;
    end if;
    if unit is not null and exists (
        select from auto_backup.exports e
        where e.backup = offsite_open.backup and e.destination = offsite_open.destination and e.address = address and e.state = 'complete'
        and date_trunc(unit, e.made_at at time zone zone) = date_trunc(unit, run.requested_at at time zone zone)
    ) then
        return null;
    end if;
    select e.* into waiting
    from auto_backup.exports e
    where e.backup = offsite_open.backup and e.destination = offsite_open.destination and e.state = 'open'
    for no key update skip locked;
    if waiting.export_id is not null then
        -- What goes on is not given up, but for three days at most.
        if waiting.claimed_until >= offsite_open.at
            or offsite_open.at < waiting.opened_at + (case when waiting.failures > 0 then interval '1 day' else interval '3 days' end)
        then
            return null;
        end if;
        perform auto_backup.export_end(
            waiting.export_id, jsonb_build_object('code', 'offsite_superseded', 'message', waiting.code), offsite_open.at, alert => false
        );
    end if;

    insert into auto_backup.exports (backup, destination, address, run_id, backup_id, made_at, path, opened_at, next_at)
    values (
        offsite_open.backup, offsite_open.destination, address, run.run_id, run.backup_id, run.requested_at,
        auto_backup.export_path(offsite_open.backup, destination, document)
        || to_char(run.requested_at at time zone 'UTC', 'YYYYMMDD"t"HH24MISS"z"') || '-' || run.backup_id || '/',
        offsite_open.at, offsite_open.at
    )
    on conflict do nothing;
    return case when found then run.run_id end;
end
$body$;
