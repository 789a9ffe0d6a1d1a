-- name: jobs
-- All jobs. Which of them make a backup is decided by package backup, which knows
-- the name of the SQL function. Commands may hold secrets: they are not shown.
-- kind: query
-- needs: cron.job (jobid, jobname, schedule, command, active, database, username)
select jsonb_agg(jsonb_build_object(
    'job_id', j.jobid, 'name', j.jobname, 'schedule', j.schedule, 'command', left(j.command, 4000),
    'active', j.active, 'database', j.database, 'username', j.username, 'orphaned', r.rolname is null
) order by j.jobname, j.username, j.jobid)
from cron.job j
left join pg_roles r on r.rolname = j.username
