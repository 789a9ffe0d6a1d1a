-- Removes jobs by their ids, a JSON array in $1. Jobs that are gone already are
-- no error.
with gone as (
    select cron.unschedule(j.jobid), j.jobname
    from cron.job j
    where j.username = current_user and $1::jsonb @> to_jsonb(j.jobid)
)

select coalesce(jsonb_agg(g.jobname), '[]'::jsonb) as result from gone g
