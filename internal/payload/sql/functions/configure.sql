-- Writes the settings of a backup and its jobs in one transaction, so that no tick
-- sees the jobs of one configuration and the settings of another. It is the last step
-- of an installation, and records that the installation is finished.
-- `jobs` is [{"name", "schedule", "command", "active"}], `surplus` the IDs of jobs to
-- remove. Returns the job IDs by name.
create or replace function auto_backup.configure(
    backup text, document jsonb, function_id text, jobs jsonb, surplus jsonb
)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '60s'
as $body$
declare
    job record;
    id bigint;
    ids jsonb := '{}';
begin
    update auto_backup.settings s
    set
        document = configure.document, function_id = configure.function_id, updated_at = now(),
        completed_at = coalesce(s.completed_at, now())
    where s.backup = configure.backup;
    if not found then
        raise exception 'no backup % is installed in this database', configure.backup;
    end if;

    for job in
        select j.name, j.schedule, j.command, j.active
        from jsonb_to_recordset(configure.jobs) as j (name text, schedule text, command text, active boolean)
    loop
        id := cron.schedule(job.name, job.schedule, job.command);
        -- cron.schedule does not change `active` and, before pg_cron 1.6.3, `database` of an existing job.
        perform cron.alter_job(id, database := current_database()::text, active := job.active);
        ids := ids || jsonb_build_object(job.name, id);
    end loop;

    perform auto_backup.unschedule(configure.surplus);

    return ids;
end
$body$;
