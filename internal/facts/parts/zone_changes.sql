-- name: zone_changes
-- How the clocks of time zones go by the server's rules, from two days ago on for five
-- and a half years: the first row of a zone says how many seconds it is ahead of UTC
-- then, each other one from which second since 1970 on it is ahead by another number.
-- The zones are those of the parameter, of all settings, and the default; one that the
-- server lacks is left out. UTC never changes.
--
-- No zone changes its clock twice within two days, so a sample every two days finds
-- every change; quarters of an hour and then minutes find when it happens. Reading the
-- list of all zones takes ten times as long as that, so it is read only if `listed` is
-- given; without it, a zone that the server lacks raises 22023.
-- kind: value
-- with: configured_zones
-- parameters: zones, listed
select (
    with zone (name) as (
        select 'America/Sao_Paulo'
        union
        select j.name
        from jsonb_array_elements_text(
            coalesce(:'zones'::jsonb, '[]') || coalesce((select c.value from configured_zones c), '[]')
        ) as j (name)
        where j.name not in ('UTC', 'Etc/UTC', 'America/Sao_Paulo')
        and (:'listed'::text is null or exists (select from pg_timezone_names n where n.name = j.name))
    ),

    period (starts) as (
        select floor(extract(epoch from now()) / 172800)::bigint * 172800 - 172800
    ),

    sample as (
        select z.name, d.at, extract(epoch from to_timestamp(d.at) at time zone z.name)::bigint - d.at as ahead
        from zone z
        cross join period p
        cross join generate_series(p.starts, p.starts + 1005 * 172800, 172800) as d (at)
    ),

    compared as (
        select s.name, s.at, s.ahead, lag(s.ahead) over (partition by s.name order by s.at) as before
        from sample s
    ),

    change as (
        select c.name, coalesce(m.at, c.at) as at, c.ahead
        from compared c
        left join lateral (
            select min(q.at) as at
            from generate_series(c.at - 172800 + 900, c.at, 900) as q (at)
            where c.before is not null and extract(epoch from to_timestamp(q.at) at time zone c.name)::bigint - q.at <> c.before
        ) as quarter on true
        left join lateral (
            select min(n.at) as at
            from generate_series(quarter.at - 900 + 60, quarter.at, 60) as n (at)
            where extract(epoch from to_timestamp(n.at) at time zone c.name)::bigint - n.at <> c.before
        ) as m on true
        where c.before is distinct from c.ahead
    )

    select jsonb_object_agg(z.name, z.changes)
    from (select c.name, jsonb_agg(jsonb_build_array(c.at, c.ahead) order by c.at) as changes from change c group by c.name) as z
)
