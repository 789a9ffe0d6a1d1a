-- name: ticks
-- The latest tick of each job. pg_cron keeps no index but that of runid, so what is
-- far back in a long history is not looked for.
-- kind: query
-- needs: cron.job_run_details (jobid, runid, status, return_message, start_time)
select jsonb_object_agg(t.jobid, jsonb_build_object(
    'status', t.status, 'message', left(t.return_message, 300), 'at', t.start_time
))
from (
    select distinct on (d.jobid) d.jobid, d.status, d.return_message, d.start_time
    from (select o.* from cron.job_run_details o order by o.runid desc limit 5000) as d
    order by d.jobid, d.runid desc
) as t
