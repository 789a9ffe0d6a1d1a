-- Queues the request of a run to the Edge Function, and returns the ID of the pg_net
-- request; null if the gateway has refused every way to show the keys.
create or replace function auto_backup.call(run auto_backup.runs, wait boolean default false)
returns bigint
language plpgsql
set search_path = ''
as $body$
begin
    return auto_backup.post(
        call.run.backup,
        jsonb_build_object(
            'run_id', call.run.run_id,
            'schedule', call.run.schedule,
            'due_at', auto_backup.rfc3339(call.run.due_at),
            'attempt', call.run.attempt
        )
        -- There is one alert for all attempts at one due time.
        || case when call.run.attempt > 1 then '{"alert": false}'::jsonb else '{}' end
        || case when call.wait then '{"wait": true}'::jsonb else '{}' end,
        -- The function responds immediately and continues to work. While pg_net waits
        -- for a response, it sends nothing else.
        case when call.wait then 150000 else 10000 end,
        cardinality(call.run.refused_ids)
    );
end
$body$;
