-- name: last_success
-- The newest attempt that succeeded.
-- kind: query
-- of: backup
-- needs: auto_backup.runs (run_id, backup, schedule, trigger, due_at, attempt, state, tick, request_id, requested_at, finished_at, backup_id, records, code, error, logged_by)
-- parameters: backup, at
select to_jsonb(r) from auto_backup.runs r
where r.backup = :'backup' and r.state = 'succeeded' and r.finished_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
order by r.finished_at desc limit 1
