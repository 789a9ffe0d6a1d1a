-- Requests a drill that a job of pg_cron runs once, for a caller that cannot wait as long
-- as a drill may take, or whose connection may be lost:
--   select auto_backup.drill_now('auto-backup')
-- A request that is still open is not made a second time. Returns {"requested_at",
-- "joined", "job"}; the result is the next manual drill in auto_backup.drills.
create or replace function auto_backup.drill_now(backup text)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '30s'
as $body$
#variable_conflict use_variable
declare
    job constant text := drill_now.backup || '-drill_now';
    moment constant timestamptz := clock_timestamp();
    plan jsonb;
    seconds integer;
    requested timestamptz;
    command text;
    id bigint;
begin
    select s.document -> 'drill' into plan from auto_backup.settings s where s.backup = drill_now.backup;
    if not found then
        raise exception 'auto_backup: no backup "%" is installed', drill_now.backup using errcode = 'AB003';
    end if;
    if coalesce(plan, 'null') = 'null' then
        raise exception 'auto_backup: backup "%" has no drill', drill_now.backup using errcode = 'AB003', hint = 'Set the argument drill, and apply.';
    end if;
    seconds := coalesce((plan ->> 'timeout_seconds')::integer, 120);

    -- drill_once does not begin a drill later than this.
    select j.jobid, substring(j.command from '''(\d{4}-[0-9T:.-]+Z)''\)$')::timestamptz into id, requested
    from cron.job j
    where j.jobname = job and j.username = current_user and j.active;
    if requested between moment - interval '15 minutes' - make_interval(secs => seconds) and moment then
        return jsonb_build_object('requested_at', auto_backup.rfc3339(requested), 'joined', true, 'job', id);
    end if;

    command := format(
        'set statement_timeout = ''%ss''; select auto_backup.drill_once(%L, %L)', seconds, drill_now.backup, auto_backup.rfc3339(moment)
    );
    begin
        id := cron.schedule(job, '2 seconds', command);
    exception
        -- pg_cron before 1.5 knows no seconds.
        when others then
            id := cron.schedule(job, '* * * * *', command);
    end;
    perform cron.alter_job(id, database := current_database()::text, active := true);
    return jsonb_build_object('requested_at', auto_backup.rfc3339(moment), 'joined', false, 'job', id);
end
$body$;
