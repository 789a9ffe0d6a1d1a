-- name: newest_tick
-- The newest tick of any job: when it began, and the highest run id.
-- kind: query
-- needs: cron.job_run_details (runid, start_time)
select jsonb_build_object('at', max(d.start_time), 'run_id', max(d.runid))
from (select o.runid, o.start_time from cron.job_run_details o order by o.runid desc limit 100) as d
