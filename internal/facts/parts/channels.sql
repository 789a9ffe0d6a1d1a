-- name: channels
-- The messages to the heartbeat and to the webhooks that the settings have: the newest
-- one, the one that arrived last, and those that were given up since. Installations of
-- older versions have no such table.
-- kind: query
-- of: backup
-- needs: auto_backup.settings (backup, document)
-- needs: auto_backup.notices (notice_id, backup, channel, event, happened_at, state, attempts, next_at, http_status, error, finished_at)
-- parameters: backup, at
select jsonb_object_agg(c.channel, jsonb_build_object('last', to_jsonb(l), 'delivered', to_jsonb(d), 'lost', to_jsonb(o) - 'losses', 'losses', coalesce(o.losses, 0)))
from auto_backup.settings s
cross join lateral (
    select h.channel, coalesce(:'at'::timestamptz, now()) as at
    from (
        select 'heartbeat' as channel where jsonb_typeof(s.document -> 'heartbeat') = 'object'
        union all
        select 'webhook/' || w.key
        from jsonb_each(case jsonb_typeof(s.document -> 'webhooks') when 'object' then s.document -> 'webhooks' else '{}' end) w
        where jsonb_typeof(w.value) = 'object'
    ) as h
) c
left join lateral (
    select n.event, n.happened_at, n.state, n.attempts, n.next_at, n.finished_at, n.http_status, left(n.error, 1000) as error
    from auto_backup.notices n
    where n.backup = s.backup and n.channel = c.channel and n.happened_at <= c.at and n.state <> 'superseded'
    order by n.happened_at desc, n.notice_id desc limit 1
) l on true
left join lateral (
    select n.event, n.happened_at, n.state, n.attempts, n.finished_at, n.http_status
    from auto_backup.notices n
    where n.backup = s.backup and n.channel = c.channel and n.finished_at <= c.at and n.state = 'delivered'
    order by n.finished_at desc, n.notice_id desc limit 1
) d on true
left join lateral (
    select
        n.event, n.happened_at, n.state, n.attempts, n.finished_at, n.http_status, left(n.error, 1000) as error,
        count(*) over () as losses
    from auto_backup.notices n
    where n.backup = s.backup and n.channel = c.channel and n.finished_at <= c.at and n.state = 'not_delivered'
    and (d.finished_at is null or n.finished_at > d.finished_at)
    order by n.finished_at desc, n.notice_id desc limit 1
) o on true
where s.backup = :'backup'
