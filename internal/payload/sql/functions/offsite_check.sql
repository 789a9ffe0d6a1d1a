-- Looks after the weekly look at a destination: begins one, notes what became of its
-- newest request or of a worker that has not been heard of, and requests the next call if
-- it is due. Returns whether it has requested one.
create or replace function auto_backup.offsite_check(backup text, destination text, plan jsonb, at timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    address constant text := auto_backup.export_address(plan);
    current auto_backup.export_checks;
    answer jsonb;
    status integer;
begin
    select c.* into current
    from auto_backup.export_checks c
    where c.backup = offsite_check.backup and c.destination = offsite_check.destination and c.state = 'open'
    for no key update skip locked;
    if not found then
        -- A key that may only write cannot look.
        if plan ->> 'verify' = 'write' or exists (
            select from auto_backup.export_checks c
            where c.backup = offsite_check.backup and c.destination = offsite_check.destination and c.address = address
            and c.started_at > offsite_check.at - interval '7 days'
        ) or not exists (
            select from auto_backup.exports e
            where e.backup = offsite_check.backup and e.destination = offsite_check.destination and e.address = address and e.state = 'complete'
            and e.completed_at between offsite_check.at - interval '30 days' and offsite_check.at - interval '1 day'
        ) then
            return false;
        end if;
        insert into auto_backup.export_checks (backup, destination, address, started_at, since, next_at)
        values (offsite_check.backup, offsite_check.destination, address, offsite_check.at, offsite_check.at - interval '30 days', offsite_check.at)
        on conflict do nothing
        returning * into current;
        if current.check_id is null then
            return false;
        end if;
        update auto_backup.export_checks c
        set objects = (select count(*) from auto_backup.check_objects(current))
        where c.check_id = current.check_id;
        return auto_backup.check_post(current.check_id, offsite_check.at);
    end if;

    if current.claimed_until >= offsite_check.at then
        return false;
    elsif current.worker is not null then
        perform auto_backup.check_note(current.check_id, jsonb_build_object('code', 'offsite_interrupted'), offsite_check.at);
    elsif (current.claimed_at is null or current.claimed_at < current.requested_at)
        and (current.failed_at is null or current.failed_at <= current.requested_at)
    then
        answer := auto_backup.answer(current.request_id, current.posted_at, current.call_id::text);
        status := (answer ->> 'status')::integer;
        if status = 401 and not (answer -> 'ours')::boolean then
            update auto_backup.export_checks c set refused = c.refused + 1 where c.check_id = current.check_id;
            if auto_backup.check_post(current.check_id, offsite_check.at) then
                return true;
            end if;
            update auto_backup.export_checks c set refused = 0 where c.check_id = current.check_id;
        end if;
        if offsite_check.at < current.requested_at + (case when status not between 200 and 299 then interval '5 minutes' else interval '15 minutes' end) then
            return false;
        end if;
        perform auto_backup.check_note(current.check_id, jsonb_build_object(
            'code', case when status not between 200 and 299 then 'http_' || status else 'offsite_silent' end, 'status', status
        ), offsite_check.at);
    end if;
    select c.* into current from auto_backup.export_checks c where c.check_id = current.check_id;
    return current.state = 'open' and current.next_at <= offsite_check.at and auto_backup.check_post(current.check_id, offsite_check.at);
end
$body$;
