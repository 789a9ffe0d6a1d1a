-- Starts a run: inserts its row and queues the request to the Edge Function in one
-- transaction, so that there is never one without the other. Tells the heartbeat. Returns
-- the run's ID, or null if this attempt at this due time already exists.
create or replace function auto_backup.start(
    backup text,
    schedule text,
    trigger text,
    due_at timestamptz,
    attempt integer,
    wait boolean default false,
    at timestamptz default null
)
returns uuid
language plpgsql
set search_path = ''
as $body$
declare
    id uuid;
    request bigint;
begin
    insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at)
    values (
        start.backup, start.schedule, start.trigger, start.due_at, start.attempt, 'requested', coalesce(start.at, now())
    )
    on conflict on constraint runs_once do nothing
    returning runs.run_id into id;
    if id is null then
        return null;
    end if;

    select auto_backup.call(r, start.wait) into request from auto_backup.runs r where r.run_id = id;
    update auto_backup.runs r set request_id = request where r.run_id = id;
    begin
        perform auto_backup.notify_start(id, coalesce(start.at, now()));
    exception
        -- A monitor that cannot be told costs no backup.
        when others or assert_failure then null;
    end;
    return id;
end
$body$;
