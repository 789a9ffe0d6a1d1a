-- name: history
-- The newest attempts, some more than are asked for, and the incidents in between.
-- kind: query
-- of: backup
-- needs: auto_backup.history (backup, run_id, requested_at, finished_at, attempt, state, what_happened, sqlstate, tick, request, http, function, log, log_state, recovered, alert)
-- needs: auto_backup.runs (run_id, backup, schedule, trigger, due_at, attempt, state, tick, request_id, requested_at, finished_at, backup_id, records, code, error, logged_by)
-- parameters: backup, history, at
select jsonb_agg(to_jsonb(h) order by h.requested_at desc, h.attempt desc)
from auto_backup.history h
where h.backup = :'backup' and h.requested_at >= coalesce((
    select r.requested_at from auto_backup.runs r
    where r.backup = :'backup' and r.requested_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
    order by r.requested_at desc limit 1 offset greatest(:'history'::integer, 5) - 1
), '-infinity')
and greatest(h.requested_at, h.finished_at) <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
