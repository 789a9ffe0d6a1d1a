-- Whether the step auto_backup.notify has anything to do. It costs a tick less than the
-- step does. So it leaves out some of the conditions of auto_backup.notify_enroll, and may
-- say yes where there is nothing to tell after all; but it never says no where there is.
create or replace function auto_backup.notify_due(backup text, document jsonb, at timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    recent constant timestamptz := notify_due.at - interval '1 day';
    known record;
    run record;
    drill record;
begin
    select
        -- The channels are not those of the settings.
        coalesce(bool_or(w.channel is null or c.channel is null or c.since > notify_due.at), false) as changed,
        max(c.since) filter (where c.channel = 'heartbeat' and c.event = 'success') as success_since,
        max(c.since) filter (where c.channel = 'heartbeat' and c.event = 'fail') as fail_since,
        exists (select from auto_backup.notices n where n.backup = notify_due.backup and n.state in ('waiting', 'sent')) as open,
        exists (
            select from auto_backup.incidents i where i.backup = notify_due.backup and (i.opened_at >= recent or i.recovered_at >= recent)
        ) as incidents
    into known
    from (
        select 'heartbeat' as channel, e as event
        from unnest(case
            when document #>> '{heartbeat,form}' in ('healthchecks', 'sentry', 'cronitor') then array['start', 'success', 'fail']
            else array['success']
        end) as e
        where document ->> 'heartbeat' is not null
        union all
        select 'webhook/' || w.key, e
        from jsonb_each(nullif(document -> 'webhooks', 'null')) w
        cross join jsonb_array_elements_text(w.value -> 'events') as e
    ) as w
    full join (
        select c.channel, c.event, c.since from auto_backup.channels c where c.backup = notify_due.backup
    ) as c on c.channel = w.channel and c.event = w.event;
    if known.changed or known.open then
        return true;
    end if;

    -- The newest outcomes, up to a success. What is older is no news for a heartbeat.
    for run in
        select r.run_id, r.state, r.finished_at, r.schedule, r.due_at, r.attempt
        from auto_backup.runs r
        where r.backup = notify_due.backup and r.state in ('succeeded', 'failed') and r.finished_at > recent and r.finished_at <= notify_due.at
        and document ->> 'heartbeat' is not null
        order by r.finished_at desc, r.requested_at desc
    loop
        continue when not coalesce(run.finished_at >= case run.state when 'succeeded' then known.success_since else known.fail_since end, false);
        continue when run.state = 'failed' and exists (
            select from auto_backup.runs n
            where n.backup = notify_due.backup and n.schedule = run.schedule and n.due_at = run.due_at and n.attempt > run.attempt
        );
        if not exists (
            select from auto_backup.notices n
            where n.backup = notify_due.backup and n.channel = 'heartbeat' and n.event = case run.state when 'succeeded' then 'success' else 'fail' end
            and coalesce(n.incident_id::text, n.drill_id::text, n.run_id::text) = run.run_id::text
        ) then
            return true;
        end if;
        exit when run.state = 'succeeded';
    end loop;

    if known.incidents and exists (
        select
        from auto_backup.incidents i
        inner join auto_backup.channels c on c.backup = i.backup and c.channel <> 'heartbeat'
        where i.backup = notify_due.backup
        and case c.event when 'recovered' then i.recovered_at when i.kind then i.opened_at end between greatest(recent, c.since) and notify_due.at
        and not exists (
            select from auto_backup.notices n
            where n.backup = i.backup and n.channel = c.channel and n.event = c.event
            and coalesce(n.incident_id::text, n.drill_id::text, n.run_id::text) = i.incident_id::text
        )
    ) then
        return true;
    end if;
    for drill in
        select d.drill_id, d.finished_at
        from auto_backup.drills d
        where d.backup = notify_due.backup and d.state = 'successful' and d.finished_at >= recent and d.finished_at <= notify_due.at
        -- Few drills find that anything was lost.
        and d.tables @? '$[*] ? (@.columns_lost.size() > 0 || @.rows_missing.double() > 0)'
    loop
        if exists (
            select from auto_backup.channels c
            where c.backup = notify_due.backup and c.event = 'fidelity' and c.since <= drill.finished_at
            and not exists (
                select from auto_backup.notices n
                where n.backup = c.backup and n.channel = c.channel and n.event = c.event
                and coalesce(n.incident_id::text, n.drill_id::text, n.run_id::text) = drill.drill_id::text
            )
        ) and auto_backup.drill_losses(drill.drill_id) <> '[]' then
            return true;
        end if;
    end loop;
    return false;
end
$body$;
