-- Records a failure of an export, and gives up the claim. `problem` is {"code",
-- "message", "status", "sqlstate", "retry", "retry_after_ms"}. It is tried again after
-- ten minutes, twenty and so on up to six hours; hourly if another try will hardly help,
-- because then somebody has to change something; "at_once" at the next tick. Returns
-- {"failures", "next_at"}.
create or replace function auto_backup.export_note(export bigint, problem jsonb, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    noted auto_backup.exports;
begin
    update auto_backup.exports e
    set
        failures = e.failures + 1, failed_at = export_note.at, worker = null, claimed_until = null,
        code = coalesce(substring(problem ->> 'code' from '^[A-Za-z][A-Za-z0-9_.-]{0,59}$'), 'offsite_failed'),
        sqlstate = substring(problem ->> 'sqlstate' from '^[0-9A-Z]{5}$'),
        error = auto_backup.plain(problem ->> 'message'),
        http_status = substring(problem ->> 'status' from '^\d{3}$')::integer,
        retryable = coalesce((problem ->> 'retry')::boolean, true),
        -- The interval of the watchdog's ticks is the shortest delay.
        next_at = export_note.at - interval '30 seconds' + case
            when (problem ->> 'at_once')::boolean then interval '30 seconds'
            when not coalesce((problem ->> 'retry')::boolean, true) then interval '1 hour'
            else greatest(
                least(interval '10 minutes' * (2 ^ least(e.failures, 10)), interval '6 hours'),
                least(make_interval(secs => coalesce(substring(problem ->> 'retry_after_ms' from '^\d{1,9}$')::double precision, 0) / 1000), interval '6 hours')
            )
        end
    where e.export_id = export_note.export and e.state = 'open'
    returning * into noted;
    return jsonb_build_object('failures', noted.failures, 'next_at', auto_backup.rfc3339(noted.next_at));
end
$body$;
