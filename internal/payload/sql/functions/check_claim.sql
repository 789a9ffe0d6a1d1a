-- Claims a look at what is stored at a destination, as auto_backup.export_claim does an
-- export. Returns {"skip"}, or the destination with "check" and "call_ms".
create or replace function auto_backup.check_claim(check_id bigint, worker uuid, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(check_claim.at, clock_timestamp());
    current auto_backup.export_checks;
    target jsonb;
begin
    begin
        -- The watchdog may hold the row for a moment. A claim that came too early would be
        -- missed until its next tick.
        select c.* into current from auto_backup.export_checks c where c.check_id = check_claim.check_id for no key update;
    exception
        when lock_not_available then
            return '{"skip": "another worker is at it"}';
    end;
    if current.check_id is null then
        return '{"skip": "there is no such check"}';
    elsif current.state <> 'open' then
        return jsonb_build_object('skip', 'it has ' || current.state);
    elsif current.claimed_until >= moment and current.worker is distinct from check_claim.worker then
        return '{"skip": "another worker is at it"}';
    end if;
    target := auto_backup.offsite_target(current.backup, current.destination);
    if target is null or auto_backup.export_address(
        (select s.document #> array['offsite', 'destinations', current.destination] from auto_backup.settings s where s.backup = current.backup)
    ) <> current.address then
        return '{"skip": "the destination was removed or moved"}';
    end if;
    update auto_backup.export_checks c
    set worker = check_claim.worker, claimed_at = moment, claimed_until = moment + interval '150 seconds'
    where c.check_id = current.check_id;
    return target || jsonb_build_object('check', current.check_id, 'call_ms', 100000);
end
$body$;
