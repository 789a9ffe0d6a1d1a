-- A step of the watchdog: tells the heartbeat how runs ended, and the webhooks what has
-- happened. It notes what became of the messages that were sent, writes down the new
-- ones, and sends what is due. Each message fails alone.
create or replace function auto_backup.notify(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    most constant integer := 50;
    config auto_backup.settings;
    notice record;
    state text;
    tally jsonb := '{}';
    problems jsonb := '[]';
begin
    select s.* into config from auto_backup.settings s where s.backup = notify.backup;
    with wanted (channel, event) as (
        select 'heartbeat', e
        from unnest(case
            when config.document #>> '{heartbeat,form}' in ('healthchecks', 'sentry', 'cronitor') then array['start', 'success', 'fail']
            -- Every ping of a plain one is a success.
            else array['success']
        end) as e
        where config.document ->> 'heartbeat' is not null
        union all
        select 'webhook/' || w.key, e
        from jsonb_each(nullif(config.document -> 'webhooks', 'null')) w
        cross join jsonb_array_elements_text(w.value -> 'events') as e
    ),

    removed as (
        delete from auto_backup.channels c
        where c.backup = notify.backup and not exists (select from wanted w where (w.channel, w.event) = (c.channel, c.event))
    )

    insert into auto_backup.channels as c (backup, channel, event, since)
    select notify.backup, w.channel, w.event, least(config.updated_at, notify.at)
    from wanted w
    on conflict on constraint channels_pkey
    -- A time after now, which a clock that was wrong has left, would silence the channel.
    do update set since = excluded.since where c.since > notify.at;
    for notice in
        select n.notice_id, n.channel, n.state from auto_backup.notices n
        where n.backup = notify.backup and n.state = 'sent'
        order by n.notice_id
    loop
        begin
            state := auto_backup.notify_settle(notice.notice_id, notify.at);
            if state in ('delivered', 'not_delivered') then
                tally := tally || jsonb_build_object(state, coalesce((tally ->> state)::integer, 0) + 1);
            end if;
        exception
            when others then
                problems := problems || to_jsonb(format('%s: the message cannot be settled (%s)', notice.channel, sqlstate));
        end;
    end loop;

    update auto_backup.notices n
    set state = 'superseded', error = 'the settings do not ask for it any more', finished_at = notify.at
    where n.backup = notify.backup and n.state = 'waiting'
    and not exists (select from auto_backup.channels c where c.backup = n.backup and c.channel = n.channel and c.event = n.event);
    perform auto_backup.notify_enroll(notify.backup, notify.at);

    for notice in
        select n.notice_id, n.channel
        from auto_backup.notices n
        where n.backup = notify.backup and n.state = 'waiting'
        -- None waits for an hour; such a time comes from a clock that was wrong.
        and (n.next_at <= notify.at or n.next_at > notify.at + interval '1 hour')
        order by n.notice_id
        limit most
    loop
        begin
            state := auto_backup.notify_post(notice.notice_id, notify.at);
            if state in ('sent', 'not_delivered') then
                tally := tally || jsonb_build_object(state, coalesce((tally ->> state)::integer, 0) + 1);
            end if;
        exception
            -- The message of an error may contain the URL.
            when others then
                problems := problems || to_jsonb(format('%s: the message cannot be sent (%s)', notice.channel, sqlstate));
        end;
    end loop;
    return tally || case when problems = '[]' then '{}' else jsonb_build_object('problems', problems) end;
end
$body$;
