-- name: under_way
-- The attempts that have not ended.
-- kind: query
-- of: backup
-- needs: auto_backup.runs (run_id, backup, schedule, trigger, due_at, attempt, state, tick, request_id, requested_at, finished_at, backup_id, records, code, error, logged_by)
-- parameters: backup, at
select jsonb_agg(to_jsonb(r) order by r.requested_at) from auto_backup.runs r
where r.backup = :'backup' and r.state in ('requested', 'running')
and r.requested_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
