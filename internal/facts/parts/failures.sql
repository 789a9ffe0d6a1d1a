-- name: failures
-- How many attempts have failed since the last success.
-- kind: query
-- of: backup
-- needs: auto_backup.runs (run_id, backup, schedule, trigger, due_at, attempt, state, tick, request_id, requested_at, finished_at, backup_id, records, code, error, logged_by)
-- parameters: backup, at
select to_jsonb(count(*)) from auto_backup.runs r
where r.backup = :'backup' and r.state = 'failed' and r.finished_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
and r.finished_at > coalesce((
    select max(o.finished_at) from auto_backup.runs o
    where o.backup = :'backup' and o.state = 'succeeded' and o.finished_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
), '-infinity')
