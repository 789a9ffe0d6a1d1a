-- Gives up a worker's claim on an export that is not complete, and requests the next
-- call at once; after a call that has stored nothing, the watchdog does that. Returns
-- {"posted"}, and perhaps "problem".
create or replace function auto_backup.export_yield(export bigint, worker uuid, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(export_yield.at, clock_timestamp());
    current auto_backup.exports;
    posted boolean := false;
    problem text;
begin
    current := auto_backup.export_renew(export_yield.export, export_yield.worker, moment);
    update auto_backup.exports e
    set worker = null, claimed_until = null, next_at = moment
    where e.export_id = current.export_id;
    if exists (
        select from auto_backup.export_objects o
        where o.export_id = current.export_id and o.state = 'stored' and o.written_at >= current.claimed_at
    ) then
        begin
            posted := auto_backup.export_post(current.export_id, moment);
        exception
            when others then
                problem := auto_backup.plain(sqlerrm);
        end;
    end if;
    return jsonb_strip_nulls(jsonb_build_object('posted', posted, 'problem', problem));
end
$body$;
