-- name: future_runs
-- How many attempts are dated more than a minute after now, and the latest date. No
-- other part counts them.
-- kind: query
-- of: backup
-- needs: auto_backup.runs (backup, requested_at, finished_at)
-- parameters: backup, at
select jsonb_build_object('count', count(*), 'latest', max(greatest(r.requested_at, r.finished_at)))
from auto_backup.runs r
where r.backup = :'backup' and greatest(r.requested_at, r.finished_at) > coalesce(:'at'::timestamptz, now()) + interval '1 minute'
