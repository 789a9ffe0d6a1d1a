-- The command of a schedule's job. Returns the run's ID, or null if there is nothing
-- to do: the schedule is disabled, this tick is not due, or the due time already has a
-- run. The database's own rules of the time zone decide what is due, for every job: the
-- ticks were compiled elsewhere, by rules that may be older or newer, and the watchdog
-- catches up on what they miss. By two sets of rules, one due time could have two
-- backups. It raises an error if it cannot start a run that is due: pg_cron records the
-- error, and the watchdog finds the due time without a run.
create or replace function auto_backup.dispatch(backup text, schedule text, at timestamptz default null)
returns uuid
language plpgsql
set search_path = ''
set lock_timeout = '10s'
as $body$
declare
    tick constant timestamptz := date_trunc('minute', coalesce(dispatch.at, now()));
    plan jsonb;
    due timestamptz;
begin
    select coalesce(s.document #> array['schedules', dispatch.schedule], 'null') into plan
    from auto_backup.settings s
    where s.backup = dispatch.backup;
    if not found then
        raise exception 'auto_backup: no backup "%" is installed', dispatch.backup using errcode = 'AB003';
    end if;
    if plan = 'null' then
        raise exception 'auto_backup: backup "%" has no schedule "%"', dispatch.backup, dispatch.schedule
        using errcode = 'AB003';
    end if;
    if not coalesce((plan ->> 'enabled')::boolean, true) then
        return null;
    end if;

    begin
        -- A tick can be late. A due time that has a run gets no second one.
        select max(d) into due from auto_backup.due_times(plan, tick - interval '5 minutes', tick) as d;
    exception
        when others then
            -- Every tick of an unguarded job is due, as far as the provider knew.
            if coalesce((plan ->> 'guarded')::boolean, false) then
                raise;
            end if;
            due := tick;
    end;
    if due is null then
        return null;
    end if;
    return auto_backup.start(dispatch.backup, dispatch.schedule, 'schedule', due, 1, false, dispatch.at);
end
$body$;
