-- Which of these times of backups a retention policy keeps: the newest `keep_last`, and
-- the newest one of each of the last `daily` days, `weekly` weeks from Monday on,
-- `monthly` months and `yearly` years that have a backup, in this time zone. The newest
-- one is always kept, and so is `restored`, the newest one that a drill has restored.
-- Package retention of the provider has the same rule.
create or replace function auto_backup.retained(times timestamptz[], policy jsonb, zone text, restored timestamptz default null)
returns timestamptz[]
language sql
stable
set search_path = ''
as $body$
with made as (
    select distinct t.at, t.at at time zone retained.zone as local from unnest(retained.times) as t (at)
),

kept as (
    select m.at
    from (
        select m.at, row_number() over (order by m.at desc) as place from made m
    ) as m
    where m.place <= greatest(coalesce((retained.policy ->> 'keep_last')::bigint, 0), 1)
    union
    select m.at
    from (
        select
            m.at, n.count,
            row_number() over (partition by n.unit, date_trunc(n.unit, m.local) order by m.at desc) as place,
            dense_rank() over (partition by n.unit order by date_trunc(n.unit, m.local) desc) as period
        from made m
        cross join (
            values
            ('day', (retained.policy ->> 'daily')::bigint), ('week', (retained.policy ->> 'weekly')::bigint),
            ('month', (retained.policy ->> 'monthly')::bigint), ('year', (retained.policy ->> 'yearly')::bigint)
        ) as n (unit, count)
    ) as m
    where m.place = 1 and m.period <= m.count
    union
    select m.at from made m where m.at = retained.restored
)

select coalesce(array_agg(k.at order by k.at), '{}') from kept k
$body$;
