  select r.jobid::int, r.jobid::int, j.jobname::text, r.status, r.start_time, r.end_time, r.return_message
  from cron.job_run_details r
  left join cron.job j on j.jobid = r.jobid
  order by r.start_time desc
  limit limit_count

