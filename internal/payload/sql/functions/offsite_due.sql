-- Whether the step auto_backup.offsite has a copy to open, or a look to begin at what is
-- stored, if none is open. It has the conditions of auto_backup.offsite_open and
-- auto_backup.offsite_check, and costs a tick less than they do.
create or replace function auto_backup.offsite_due(backup text, document jsonb, at timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    zone constant text := coalesce(document ->> 'timezone', 'UTC');
    newest record;
    target record;
    unit text;
begin
    select r.run_id, r.requested_at, r.removed_at into newest
    from auto_backup.runs r
    where r.backup = offsite_due.backup and r.state = 'succeeded' and r.backup_id is not null and r.finished_at <= offsite_due.at
    order by r.finished_at desc
    limit 1;
    for target in
        select d.key as destination, d.value as plan, auto_backup.export_address(d.value) as address
        from jsonb_each(nullif(document #> '{offsite,destinations}', 'null')) d
    loop
        if newest.run_id is not null and newest.removed_at is null and not exists (
            select from auto_backup.exports e
            where e.backup = offsite_due.backup and e.destination = target.destination and e.address = target.address and e.run_id = newest.run_id
        ) then
            unit := case target.plan ->> 'every' when 'daily' then 'day' when 'weekly' then 'week' end;
            if unit is null or not exists (
                select from auto_backup.exports e
                where e.backup = offsite_due.backup and e.destination = target.destination and e.address = target.address and e.state = 'complete'
                and date_trunc(unit, e.made_at at time zone zone) = date_trunc(unit, newest.requested_at at time zone zone)
            ) then
                return true;
            end if;
        end if;
        continue when target.plan ->> 'verify' = 'write' or exists (
            select from auto_backup.export_checks c
            where c.backup = offsite_due.backup and c.destination = target.destination and c.address = target.address
            and c.started_at > offsite_due.at - interval '7 days'
        );
        if exists (
            select from auto_backup.exports e
            where e.backup = offsite_due.backup and e.destination = target.destination and e.address = target.address and e.state = 'complete'
            and e.completed_at between offsite_due.at - interval '30 days' and offsite_due.at - interval '1 day'
        ) then
            return true;
        end if;
    end loop;
    return false;
end
$body$;
