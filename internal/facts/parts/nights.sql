-- name: nights
-- What came of each due time of the last 31 days: the attempt that decides it, which is
-- the one that succeeded, or else the one that is under way, or else the last one. Of
-- more than 2,000, those of the newest due times.
-- kind: query
-- of: backup
-- needs: auto_backup.runs (run_id, backup, schedule, trigger, due_at, attempt, state, requested_at, finished_at, records)
-- parameters: backup, at
select jsonb_agg(jsonb_strip_nulls(to_jsonb(g)) order by g.due_at desc, g.schedule)
from (
    select distinct on (r.due_at, r.schedule)
        case when r.finished_at is null then r.run_id end as run_id, r.schedule, r.trigger, r.due_at, r.attempt, r.state, r.requested_at, r.finished_at, r.records
    from auto_backup.runs r
    where r.backup = :'backup' and r.due_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
    and r.requested_at >= coalesce(:'at'::timestamptz, now()) - interval '31 days'
    and r.requested_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
    order by r.due_at desc, r.schedule, r.state = 'succeeded' desc, r.finished_at is null desc, r.attempt desc
    limit 2000
) as g
