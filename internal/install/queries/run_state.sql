-- Runs the watchdog, then returns the history of the run whose id is $2
-- of backup $1, as it was before that look; for one that failed, also with what
-- the function says became of its alert.
with watched as materialized (select auto_backup.watch($1::text) as summary)

select
    to_jsonb(h) || jsonb_build_object(
        -- The history counts an outcome earlier than the watchdog, which has not seen
        -- then what became of the alert.
        'state', r.state,
        'function_alert', r.function_alert,
        'alert_problem', case
            when r.function_alert = 'not_delivered' then
                auto_backup.evidence('{}', array[r.run_id], r.posted_at - interval '1 minute')
                #>> array['events', r.run_id::text, 'auto_backup_error', 'context', 'alert', 'reason']
        end
    ) as result
from watched
cross join auto_backup.runs r
inner join auto_backup.history h on h.run_id = r.run_id
where r.run_id = ($2::text)::uuid
