-- name: ticks
-- The latest tick of each job. pg_cron keeps no index but that of runid, so what is
-- far back in a long history is not looked for.
-- kind: query
-- needs: cron.job_run_details (jobid, runid, status, return_message, start_time)
select jsonb_object_agg(d.jobid, jsonb_build_object(
    'status', d.status, 'message', left(d.return_message, 300), 'at', d.start_time
))
from (
    select max(t.runid) as runid
    from (select o.jobid, o.runid from cron.job_run_details o order by o.runid desc limit 5000) as t
    group by t.jobid
) as latest
inner join cron.job_run_details d on d.runid = latest.runid
