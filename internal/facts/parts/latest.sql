-- name: latest
-- The newest attempt that its schedule or the watchdog made, for each schedule.
-- kind: query
-- of: backup
-- needs: auto_backup.runs (run_id, backup, schedule, trigger, due_at, attempt, state, tick, request_id, requested_at, finished_at, backup_id, records, code, error, logged_by)
-- needs: auto_backup.settings (backup, document)
-- parameters: backup, at
select jsonb_object_agg(k, to_jsonb(r))
from auto_backup.settings s
cross join jsonb_object_keys(
    case when jsonb_typeof(s.document -> 'schedules') = 'object' then s.document -> 'schedules' else '{}' end
) as k
cross join lateral (
    select r.* from auto_backup.runs r
    where r.backup = s.backup and r.schedule = k and r.trigger <> 'manual'
    and greatest(r.due_at, r.requested_at) <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
    order by r.due_at desc, r.attempt desc limit 1
) as r
where s.backup = :'backup'
