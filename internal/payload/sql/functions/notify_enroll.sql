-- Writes down what the channels of a backup have to be told: each run's outcome, and
-- each incident and its end, once. Nothing is told that happened before a channel had
-- the event, or more than a day ago.
create or replace function auto_backup.notify_enroll(backup text, at timestamptz)
returns void
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    recent constant timestamptz := notify_enroll.at - interval '1 day';
    document jsonb;
begin
    select s.document into document from auto_backup.settings s where s.backup = notify_enroll.backup;

    -- The newest outcome is the state of the backup.
    insert into auto_backup.notices (backup, channel, event, run_id, happened_at, state, next_at)
    select r.backup, c.channel, c.event, r.run_id, r.finished_at, 'waiting', notify_enroll.at
    from auto_backup.runs r
    inner join auto_backup.channels c
        on c.backup = r.backup and c.channel = 'heartbeat' and c.event = case r.state when 'succeeded' then 'success' else 'fail' end
    where r.backup = notify_enroll.backup and r.state in ('succeeded', 'failed')
    and r.finished_at > recent and r.finished_at <= notify_enroll.at and r.finished_at >= c.since
    -- A failure counts when no attempt follows it.
    and (r.state = 'succeeded' or not exists (
        select from auto_backup.runs n
        where n.backup = r.backup and n.schedule = r.schedule and n.due_at = r.due_at and n.attempt > r.attempt
    ) and not (
        r.trigger <> 'manual' and r.attempt <= coalesce((document #>> '{retry,attempts}')::integer, 0)
        and document #> array['schedules', r.schedule] is not null
        and coalesce((document #>> array['schedules', r.schedule, 'enabled'])::boolean, true)
        -- Something has stopped the next attempt.
        and r.finished_at > notify_enroll.at - interval '1 hour' - make_interval(secs => coalesce((document #>> '{retry,delay_seconds}')::integer, 0))
    ))
    order by r.finished_at desc, r.requested_at desc
    limit 1
    on conflict do nothing;
    update auto_backup.notices n
    set state = 'superseded', finished_at = notify_enroll.at
    where n.backup = notify_enroll.backup and n.channel = 'heartbeat' and n.state = 'waiting'
    and exists (
        select from auto_backup.notices o
        where o.backup = n.backup and o.channel = n.channel and o.event in ('success', 'fail') and o.notice_id > n.notice_id
    );

    insert into auto_backup.notices (backup, channel, event, run_id, incident_id, destination, happened_at, state, next_at)
    select i.backup, c.channel, c.event, i.run_id, i.incident_id, i.destination, i.opened_at, 'waiting', notify_enroll.at
    from auto_backup.incidents i
    inner join auto_backup.channels c on c.backup = i.backup and c.event = i.kind
    where i.backup = notify_enroll.backup and c.channel <> 'heartbeat'
    and i.opened_at > recent and i.opened_at <= notify_enroll.at and i.opened_at >= c.since
    order by i.opened_at, i.incident_id, c.channel
    on conflict do nothing;

    insert into auto_backup.notices (backup, channel, event, run_id, incident_id, destination, happened_at, state, next_at)
    select i.backup, c.channel, c.event, i.recovered_by, i.incident_id, i.destination, i.recovered_at, 'waiting', notify_enroll.at
    from auto_backup.incidents i
    inner join auto_backup.channels c on c.backup = i.backup and c.event = 'recovered'
    where i.backup = notify_enroll.backup
    and i.recovered_at > recent and i.recovered_at <= notify_enroll.at and i.recovered_at >= c.since
    -- To whom nothing was told, nothing is over, unless they want to hear only the ends.
    and (
        exists (
            select from auto_backup.notices n
            where n.backup = i.backup and n.channel = c.channel and n.event = i.kind and n.incident_id = i.incident_id
        )
        or not exists (
            select from auto_backup.channels o where o.backup = c.backup and o.channel = c.channel and o.event <> 'recovered'
        )
    )
    -- Without its destination, nothing has succeeded.
    and (i.kind <> 'offsite' or coalesce(document #> array['offsite', 'destinations', i.destination], 'null') <> 'null')
    order by i.recovered_at, i.incident_id, c.channel
    on conflict do nothing;

    -- A loss is told once, and again when there is another one.
    insert into auto_backup.notices (backup, channel, event, run_id, drill_id, happened_at, state, next_at)
    select d.backup, c.channel, c.event, d.run_id, d.drill_id, d.finished_at, 'waiting', notify_enroll.at
    from auto_backup.drills d
    inner join auto_backup.channels c on c.backup = d.backup and c.event = 'fidelity'
    where d.backup = notify_enroll.backup and d.state = 'successful'
    and d.finished_at > recent and d.finished_at <= notify_enroll.at and d.finished_at >= c.since
    and exists (
        select from jsonb_array_elements(auto_backup.drill_losses(d.drill_id)) l
        where not exists (
            select from auto_backup.notices n where n.backup = d.backup and n.channel = c.channel and n.event = 'fidelity'
        )
        or not exists (
            select
            from jsonb_array_elements(auto_backup.drill_losses((
                select max(p.drill_id) from auto_backup.drills p
                where p.backup = d.backup and p.state = 'successful' and p.drill_id < d.drill_id
            ))) e
            where e.value -> 'code' = l.value -> 'code' and e.value -> 'object' = l.value -> 'object'
        )
    )
    order by d.finished_at, c.channel
    on conflict do nothing;
end
$body$;
