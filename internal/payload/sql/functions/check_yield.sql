-- Gives up a worker's claim on a look at a destination, and requests the next call.
-- Returns {"posted"}, and perhaps "problem".
create or replace function auto_backup.check_yield(check_id bigint, worker uuid, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(check_yield.at, clock_timestamp());
    posted boolean := false;
    problem text;
begin
    perform auto_backup.check_renew(check_yield.check_id, check_yield.worker, moment);
    update auto_backup.export_checks c
    set worker = null, claimed_until = null, next_at = moment
    where c.check_id = check_yield.check_id;
    begin
        posted := auto_backup.check_post(check_yield.check_id, moment);
    exception
        when others then
            problem := auto_backup.plain(sqlerrm);
    end;
    return jsonb_strip_nulls(jsonb_build_object('posted', posted, 'problem', problem));
end
$body$;
