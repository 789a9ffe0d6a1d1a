-- The command of the job that drill_now creates: runs the requested drill and removes
-- the job. While another drill is running, it leaves the job for the next tick. A drill
-- that ended with an error, such as that of a stopped server, is not begun again, nor is
-- one whose request is old.
create or replace function auto_backup.drill_once(backup text, requested_at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    job bigint;
    result jsonb;
begin
    select j.jobid into job from cron.job j where j.jobname = drill_once.backup || '-drill_now' and j.username = current_user;
    if clock_timestamp() < drill_once.requested_at + interval '15 minutes' and not exists (
        select from cron.job_run_details d
        where d.jobid = job and d.status = 'failed' and d.start_time >= drill_once.requested_at
    ) then
        result := auto_backup.drill(drill_once.backup, 'manual');
        if result ->> 'code' = 'drill_running' then
            return result;
        end if;
    end if;
    if job is not null then
        perform cron.unschedule(job);
    end if;
    return result;
end
$body$;
