-- Why the job of a schedule did not start the run that was due at `due_at`.
create or replace function auto_backup.tick_problem(backup text, schedule text, due_at timestamptz)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    job_name constant text := tick_problem.backup || '-' || tick_problem.schedule;
    job record;
    message text;
begin
    select j.jobid, j.active, j.username into job
    from cron.job j
    where j.jobname = job_name
    order by j.username = current_user desc, j.active desc
    limit 1;
    if not found then
        return format('the job %s does not exist', job_name);
    elsif job.username <> current_user then
        return format('the job %s belongs to role %s', job_name, job.username);
    elsif not job.active then
        return format('the job %s is not active', job_name);
    end if;
    select d.return_message into message
    from cron.job_run_details d
    where d.jobid = job.jobid and d.status = 'failed'
    and d.start_time >= tick_problem.due_at - interval '1 minute'
    and d.start_time < tick_problem.due_at + interval '5 minutes'
    order by d.runid desc
    limit 1;
    return coalesce('its tick failed: ' || auto_backup.plain(message), 'the job did not tick at that time');
exception
    when others then
        return 'the jobs cannot be read: ' || auto_backup.plain(sqlerrm);
end
$body$;
