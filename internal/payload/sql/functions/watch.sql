-- The command of the watchdog's job. It closes runs, starts missed runs, retries failed
-- ones, and takes care of alerts, of messages outside the project and of history. Each
-- part fails alone and does not stop the others. Returns what it did, and its "problems".
-- If it is called while it is already running, it does nothing.
create or replace function auto_backup.watch(backup text, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '5s'
as $body$
#variable_conflict use_variable
declare
    moment timestamptz := coalesce(watch.at, now());
    parts text[] := array['collect', 'catch_up', 'drill_overdue', 'overdue'];
    offsite boolean;
    channels boolean;
    part text;
    pruned_at timestamptz;
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
    select w.pruned_at, s.document ->> 'offsite' is not null, coalesce(s.document ->> 'heartbeat', s.document ->> 'webhooks') is not null
    into pruned_at, offsite, channels
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
    -- Another session may have closed runs until now.
    moment := coalesce(watch.at, clock_timestamp());
    result := jsonb_build_object('backup', watch.backup, 'at', moment);

    -- Removed destinations may have left something open.
    if offsite
        or exists (select from auto_backup.exports e where e.backup = watch.backup and e.state = 'open')
        or exists (select from auto_backup.export_checks c where c.backup = watch.backup and c.state = 'open')
        or exists (select from auto_backup.incidents i where i.backup = watch.backup and i.kind = 'offsite' and i.recovered_at is null)
    then
        parts := array['collect', 'offsite'] || parts[2:];
    end if;

    while parts <> '{}' loop
        part := parts[1];
        parts := parts[2:];
        -- Locks of others can cost each part some seconds. The next tick goes on.
        if clock_timestamp() > began + patience then
            problems := problems || to_jsonb(part || ': left out, because this tick has taken a minute');
            continue;
        end if;
        begin
            execute format('select auto_backup.%I($1, $2)', part) into done using watch.backup, moment;
            problems := problems || coalesce(done -> 'problems', '[]');
            done := done - 'problems';
            if done <> '{}' then
                result := result || jsonb_build_object(part, done);
            end if;
            if part = 'prune' and not done ? 'more' then
                pruned_at := moment;
            end if;
        exception
            when others then
                get stacked diagnostics context = pg_exception_context;
                problems := problems || to_jsonb(
                    part || ': ' || auto_backup.plain(sqlerrm)
                    || auto_backup.locked_by('auto_backup.' || substring(context from 'tuple .* in relation "(\w+)"'), sqlstate)
                );
        end;
        if part = 'overdue' then
            -- Usually there is no open incident and nothing to delete.
            if exists (
                select from auto_backup.incidents i
                where i.backup = watch.backup
                and (i.recovered_at is null or i.alert_state in ('waiting', 'sent', 'not_delivered'))
                and (i.recovered_at is null or i.alert_state <> 'not_delivered' or i.opened_at > moment - interval '1 day')
            ) then
                parts := array['retry', 'recover', 'alerts'];
            end if;
            -- Removed channels may have left something waiting.
            if channels
                or exists (select from auto_backup.channels c where c.backup = watch.backup)
                or exists (select from auto_backup.notices n where n.backup = watch.backup and n.state in ('waiting', 'sent'))
            then
                parts := parts || text 'notify';
            end if;
            if pruned_at is null or pruned_at not between moment - interval '1 day' and moment then
                parts := parts || text 'prune';
            end if;
        end if;
    end loop;

    -- Runs after now come from a clock that was wrong, and do not count.
    select count(*) into future
    from (
        select r.run_id
        from auto_backup.runs r
        where r.backup = watch.backup and r.requested_at > moment + interval '1 minute'
        union
        select r.run_id
        from auto_backup.runs r
        where r.backup = watch.backup and r.state in ('succeeded', 'failed') and r.finished_at > moment + interval '1 minute'
    ) as r;
    if future > 0 then
        result := result || jsonb_build_object('future', future);
    end if;

    if problems <> '[]' then
        result := result || jsonb_build_object('problems', problems);
    end if;
    insert into auto_backup.watchdog as w (backup, watched_at, pruned_at, summary)
    values (watch.backup, moment, pruned_at, result)
    on conflict on constraint watchdog_pkey
    do update set watched_at = excluded.watched_at, pruned_at = excluded.pruned_at, summary = excluded.summary;
    return result;
end
$body$;
