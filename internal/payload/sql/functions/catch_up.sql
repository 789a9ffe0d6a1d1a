-- Starts a run for the latest due time that has none, because pg_cron never catches
-- up, and a job that is missing, disabled or failing starts no run. One run is enough
-- for all due times missed before it, so a long pause ends with a single run.
create or replace function auto_backup.catch_up(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    -- A tick may come late.
    until constant timestamptz := catch_up.at - interval '5 minutes';
    config auto_backup.settings;
    plan record;
    meaning jsonb;
    since timestamptz;
    span interval;
    due timestamptz;
    missed timestamptz;
    missed_schedule text;
    quiet tstzrange;
    started jsonb := '{}';
    problems jsonb := '[]';
begin
    select s.* into config from auto_backup.settings s where s.backup = catch_up.backup;
    for plan in
        select coalesce(e.key, k.schedule) as key, e.value, k.definition, k.since
        from jsonb_each(config.document -> 'schedules') e
        full join (select s.* from auto_backup.schedules s where s.backup = catch_up.backup) k on k.schedule = e.key
    loop
        if not coalesce((plan.value ->> 'enabled')::boolean, plan.value is not null) then
            delete from auto_backup.schedules s
            where s.backup = catch_up.backup and s.schedule = plan.key and plan.since is not null;
            continue;
        end if;

        -- Nothing was due before the schedule had its current definition.
        meaning := jsonb_build_object(
            'zone', plan.value -> 'zone', 'minutes', plan.value -> 'minutes', 'hours', plan.value -> 'hours',
            'days', plan.value -> 'days', 'months', plan.value -> 'months', 'weekdays', plan.value -> 'weekdays',
            'days_either', plan.value -> 'days_either'
        );
        since := plan.since;
        if plan.definition is distinct from meaning or plan.since > catch_up.at then
            since := case
                when config.updated_at <= plan.since and plan.since <= catch_up.at then catch_up.at
                else least(config.updated_at, catch_up.at)
            end;
            insert into auto_backup.schedules as s (backup, schedule, definition, since)
            values (catch_up.backup, plan.key, meaning, since)
            on conflict on constraint schedules_pkey
            do update set definition = excluded.definition, since = excluded.since;
        end if;

        quiet := null;
        begin
            due := null;
            foreach span in array array['1 day', '35 days', '400 days']::interval[] loop
                select max(d) into due
                from auto_backup.due_times(plan.value, greatest(since, until - span), until) as d;
                exit when due is not null or since >= until - span;
            end loop;
            select tstzrange(until, coalesce(min(d), until + interval '1 day')) into quiet
            from auto_backup.due_times(plan.value, until, until + interval '1 day') as d;
        exception
            when others then
                problems := problems || to_jsonb(format('schedule %s cannot be read: %s', plan.key, auto_backup.plain(sqlerrm)));
        end;
        if due is not null and not exists (
            select from auto_backup.runs r
            where r.backup = catch_up.backup and r.schedule = plan.key and r.due_at between due and catch_up.at
            and r.requested_at <= catch_up.at
            and (r.trigger <> 'manual' or r.state = 'succeeded')
        ) and not exists (
            select from auto_backup.runs r
            where r.backup = catch_up.backup and r.trigger = 'catch_up'
            and r.requested_at > due and r.requested_at <= catch_up.at
        ) then
            quiet := null;
            if due > coalesce(missed, '-infinity') then
                missed := due;
                missed_schedule := plan.key;
            end if;
        end if;
        update auto_backup.schedules s
        set quiet_for = plan.value, quiet = quiet
        where s.backup = catch_up.backup and s.schedule = plan.key;
    end loop;

    -- Two backups at the same time would only wait for each other.
    if missed is not null and not exists (
        select from auto_backup.runs r
        where r.backup = catch_up.backup and r.state in ('requested', 'running')
        and r.requested_at <= catch_up.at + interval '1 minute'
    ) then
        started := auto_backup.launch(
            catch_up.backup, missed_schedule, 'catch_up', missed, 1, catch_up.at,
            auto_backup.tick_problem(catch_up.backup, missed_schedule, missed)
        );
    end if;
    problems := problems || coalesce(started -> 'problems', '[]');
    return started || case when problems = '[]' then '{}' else jsonb_build_object('problems', problems) end;
end
$body$;
