-- The command of the watchdog's job. It closes runs, starts missed runs, retries failed
-- ones, and takes care of alerts, of messages outside the project and of history. Each
-- step fails alone and does not stop the others. Returns what it did, and its "problems".
-- If it is called while it is already running, it does nothing.
--
-- pg_cron gives each tick a new session, which has nothing cached: compiling a step and
-- planning its queries takes milliseconds. So one query asks which steps have anything to
-- do, and only those are called.
create or replace function auto_backup.watch(backup text, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '5s'
as $body$
#variable_conflict use_variable
declare
    steps constant text[] := array[
        'collect', 'offsite', 'catch_up', 'drill_overdue', 'overdue', 'retry', 'recover', 'alerts', 'notify', 'prune'
    ];
    moment timestamptz := coalesce(watch.at, now());
    config record;
    pruned_at timestamptz;
    copied boolean; -- whether there are destinations outside the project
    heard boolean; -- whether there are channels
    step text;
    needed text[];
    due boolean;
    changed boolean := false; -- whether a step may have changed what the later ones depend on
    done jsonb;
    problems jsonb := '[]';
    context text; -- names the table of a row that is locked
    future integer;
    began constant timestamptz := clock_timestamp();
    patience constant interval := interval '60 seconds';
    result jsonb := jsonb_build_object('backup', watch.backup, 'at', moment);
begin
    -- Only the owner of this schema can lock its rows; every role can hold an advisory
    -- lock.
    select s.document, s.created_at, s.updated_at, w.pruned_at into config
    from auto_backup.settings s
    left join auto_backup.watchdog w on w.backup = s.backup
    where s.backup = watch.backup
    for no key update of s skip locked;
    if not found then
        if not exists (select from auto_backup.settings s where s.backup = watch.backup) then
            raise exception 'auto_backup: no backup "%" is installed', watch.backup using errcode = 'AB003';
        end if;
        return result || '{"skipped": "another session is watching this backup or changing its settings"}';
    end if;
    pruned_at := config.pruned_at;
    copied := config.document ->> 'offsite' is not null;
    heard := coalesce(config.document ->> 'heartbeat', config.document ->> 'webhooks') is not null;
    -- Another session may have closed runs until now.
    moment := coalesce(watch.at, clock_timestamp());
    result := jsonb_build_object('backup', watch.backup, 'at', moment);

    foreach step in array steps loop
        if step = 'collect' or (step = 'retry' and changed) then
            begin
                select array_remove(array[
                    -- As in the step itself.
                    case when exists (
                        select from auto_backup.runs r where r.backup = watch.backup and r.state in ('requested', 'running')
                    ) or exists (
                        select from auto_backup.runs r
                        where r.backup = watch.backup and r.state in ('succeeded', 'failed')
                        and r.finished_at > moment - interval '1 day' and r.finished_at <= moment
                        and (r.state = 'failed' or r.row_open)
                    ) then 'collect' end,
                    -- Removed destinations may have left something open.
                    case when exists (select from auto_backup.exports e where e.backup = watch.backup and e.state = 'open')
                        or exists (select from auto_backup.export_checks c where c.backup = watch.backup and c.state = 'open')
                        or exists (
                            select from auto_backup.incidents i
                            where i.backup = watch.backup and i.kind = 'offsite' and i.recovered_at is null
                        )
                        then 'offsite'
                    end,
                    -- Usually everything that was due has its run, and nothing is due for hours.
                    case when exists (
                        select
                        from jsonb_each(config.document -> 'schedules') e
                        full join (select s.* from auto_backup.schedules s where s.backup = watch.backup) k on k.schedule = e.key
                        where case
                            when coalesce((e.value ->> 'enabled')::boolean, e.value is not null)
                                then (k.quiet_for = e.value and k.since <= moment and k.quiet @> moment - interval '5 minutes') is not true
                            else k.since is not null
                        end
                    ) then text 'catch_up' end,
                    -- Usually there was a drill, or a success, not too long ago.
                    case when coalesce((config.document #>> '{drill,enabled}')::boolean, false)
                        and coalesce(nullif(config.document #> '{drill,tables}', 'null'), '[]') <> '[]'
                        and not exists (
                            select from auto_backup.drills d
                            where d.backup = watch.backup and d.state in ('successful', 'failed', 'timed_out')
                            and d.started_at <= moment
                            and d.started_at >= moment - make_interval(
                                secs => coalesce((config.document #>> '{drill,overdue_after_seconds}')::bigint, 0)
                            )
                        )
                        then 'drill_overdue'
                    end,
                    case when not exists (
                        select from auto_backup.runs r
                        where r.backup = watch.backup and r.state = 'succeeded' and r.finished_at <= moment
                        and r.finished_at >= moment - make_interval(
                            secs => coalesce((config.document #>> '{alert,overdue_after_seconds}')::bigint, 0)
                        )
                    ) then 'overdue' end
                ]
                || case when exists (
                    select from auto_backup.incidents i
                    where i.backup = watch.backup
                    and (i.recovered_at is null or i.alert_state in ('waiting', 'sent', 'not_delivered'))
                    and (i.recovered_at is null or i.alert_state <> 'not_delivered' or i.opened_at > moment - interval '1 day')
                ) then array['retry', 'recover', 'alerts'] end
                -- Removed channels may have left something waiting.
                || case when exists (select from auto_backup.notices n where n.backup = watch.backup and n.state in ('waiting', 'sent'))
                    or not heard and exists (select from auto_backup.channels c where c.backup = watch.backup)
                    then text 'notify'
                end
                || case when pruned_at is null or pruned_at not between moment - interval '1 day' and moment then text 'prune' end,
                null) into needed;
            exception
                -- Settings that are no settings: the step that reads them says so.
                when others then needed := steps;
            end;
        end if;
        -- What these two have to do also depends on what the steps before have done.
        if step <> all (needed) and (step = 'offsite' and copied or step = 'notify' and heard) then
            begin
                if step = 'offsite' then
                    due := auto_backup.offsite_due(watch.backup, config.document, moment);
                else
                    due := auto_backup.notify_due(watch.backup, config.document, moment);
                end if;
            exception
                when others then due := true;
            end;
            continue when not due;
            needed := needed || step;
        end if;
        continue when step <> all (needed);
        -- Locks of others can cost each step some seconds. The next tick goes on.
        if clock_timestamp() > began + patience then
            problems := problems || to_jsonb(step || ': left out, because this tick has taken a minute');
            continue;
        end if;
        begin
            execute format('select auto_backup.%I($1, $2)', step) into done using watch.backup, moment;
            changed := changed or step <> 'catch_up' or done <> '{}';
            problems := problems || coalesce(done -> 'problems', '[]');
            done := done - 'problems';
            if done <> '{}' then
                result := result || jsonb_build_object(step, done);
            end if;
            if step = 'prune' and not done ? 'more' then
                pruned_at := moment;
            end if;
        exception
            when others then
                get stacked diagnostics context = pg_exception_context;
                problems := problems || to_jsonb(
                    step || ': ' || auto_backup.plain(sqlerrm)
                    || auto_backup.locked_by('auto_backup.' || substring(context from 'tuple .* in relation "(\w+)"'), sqlstate)
                );
        end;
    end loop;

    -- Runs after now come from a clock that was wrong, and do not count.
    select count(*) into future
    from auto_backup.runs r
    where r.backup = watch.backup
    and (
        r.requested_at > moment + interval '1 minute'
        or (r.state in ('succeeded', 'failed') and r.finished_at > moment + interval '1 minute')
    );
    if future > 0 then
        result := result || jsonb_build_object('future', future);
    end if;

    if problems <> '[]' then
        result := result || jsonb_build_object('problems', problems);
    end if;
    update auto_backup.watchdog w
    set watched_at = moment, pruned_at = pruned_at, summary = result
    where w.backup = watch.backup;
    if not found then
        insert into auto_backup.watchdog (backup, watched_at, pruned_at, summary)
        values (watch.backup, moment, pruned_at, result);
    end if;
    return result;
end
$body$;
