-- Starts a run: inserts its row and queues the request to the Edge Function in one
-- transaction, so that there is never one without the other. Returns the run's ID, or
-- null if this attempt at this due time already exists.
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

    request := auto_backup.post(
        start.backup,
        jsonb_build_object(
            'run_id', id,
            'schedule', start.schedule,
            'due_at', auto_backup.rfc3339(start.due_at),
            'attempt', start.attempt
        )
        -- There is one alert for all attempts at one due time.
        || case when start.attempt > 1 then '{"alert": false}'::jsonb else '{}' end
        || case when start.wait then '{"wait": true}'::jsonb else '{}' end,
        -- The function responds immediately and continues to work. While pg_net waits
        -- for a response, it sends nothing else.
        case when start.wait then 150000 else 10000 end
    );
    update auto_backup.runs r set request_id = request where r.run_id = id;
    return id;
end
$body$;
