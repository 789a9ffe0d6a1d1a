-- Every time in (after, until] at which a schedule is due, ascending, in whole
-- minutes. `schedule` is one of auto_backup.settings: the time zone and the sets of
-- minutes, hours, days, months and weekdays of its local time.
--
-- A local minute is due at the first instant at which the clock of the zone has
-- reached that minute. So a local time that a spring change skips is due at the first
-- instant after the gap, several skipped times together once, and one that an autumn
-- change repeats is due only at its first occurrence. Zones are converted only in the
-- direction that is never ambiguous: from UTC to local time.
create or replace function auto_backup.due_times(schedule jsonb, after timestamptz, until timestamptz)
returns setof timestamptz
language plpgsql
stable
set search_path = ''
as $body$
declare
    zone constant text := due_times.schedule ->> 'zone';
    minutes constant integer[] := translate(due_times.schedule ->> 'minutes', '[]', '{}')::integer[];
    hours constant integer[] := translate(due_times.schedule ->> 'hours', '[]', '{}')::integer[];
    days constant integer[] := translate(due_times.schedule ->> 'days', '[]', '{}')::integer[];
    months constant integer[] := translate(due_times.schedule ->> 'months', '[]', '{}')::integer[];
    weekdays constant integer[] := translate(due_times.schedule ->> 'weekdays', '[]', '{}')::integer[];
    days_either constant boolean := (due_times.schedule ->> 'days_either')::boolean;

    -- Times are in minutes since 1970, local times by the local clock.
    first constant bigint := floor(date_part('epoch', due_times.after) / 60) + 1;
    last constant bigint := floor(date_part('epoch', due_times.until) / 60);

    -- No zone changes its clock twice within this time, or by more than it.
    probe constant integer := 2 * 1440;
    step integer;
    -- A time span, both ends included, in which the local clock has one offset from
    -- UTC.
    start bigint;
    stop bigint;
    ahead bigint;

    -- The relevant local minutes [low, high): those that the clock first shows in the
    -- span, or has skipped just before it.
    low bigint;
    high bigint;
    reached bigint; -- the first local minute that the clock has not shown yet

    date date;
    by_date boolean;
    by_weekday boolean;
    hour integer;
    minute integer;
    local bigint;
    due bigint;
    latest bigint;
begin
    if zone is null or minutes is null or hours is null or days is null or months is null or weekdays is null or days_either is null then
        raise exception 'auto_backup: incomplete schedule %', due_times.schedule using errcode = 'invalid_parameter_value';
    end if;
    if first is null or last is null then
        raise exception 'auto_backup: due_times needs the two ends of a period' using errcode = 'null_value_not_allowed';
    end if;

    -- What the clock has shown in the last two days decides whether a time is repeated.
    start := first - probe;
    while start <= last loop
        ahead := floor(date_part('epoch', to_timestamp(start * 60) at time zone zone) / 60) - start;
        stop := start;
        step := probe;
        while step > 0 and stop <= last loop
            if floor(date_part('epoch', to_timestamp((stop + step) * 60) at time zone zone) / 60) - (stop + step) = ahead then
                stop := stop + step;
            else
                step := step / 2;
            end if;
        end loop;

        low := coalesce(reached, start + ahead);
        reached := greatest(low, stop + 1 + ahead);
        high := least(reached, last + 1 + ahead);
        if start < first then
            low := greatest(low, first + ahead);
        end if;

        for day in floor(low / 1440.0) .. ceil(high / 1440.0) - 1 loop
            date := date '1970-01-01' + day;
            continue when date_part('month', date) <> all (months);
            by_date := date_part('day', date) = any (days);
            by_weekday := date_part('dow', date) = any (weekdays);
            continue when not case when days_either then by_date or by_weekday else by_date and by_weekday end;

            foreach hour in array hours loop
                local := 1440 * day::bigint + 60 * hour;
                continue when local + 60 <= low;
                exit when local >= high;

                foreach minute in array minutes loop
                    local := 1440 * day::bigint + 60 * hour + minute;
                    continue when local < low;
                    exit when local >= high;

                    due := greatest(start, local - ahead);
                    if due is distinct from latest then
                        return next to_timestamp(due * 60);
                        latest := due;
                    end if;
                end loop;
            end loop;
        end loop;

        start := stop + 1;
    end loop;
end
$body$;
