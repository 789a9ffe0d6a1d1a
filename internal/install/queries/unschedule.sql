-- Removes jobs by their ids, a JSON array in $1. Jobs that are gone already are
-- no error. $2 is the backup, $3 the holder of its lease.
with gone as (
    select cron.unschedule(j.jobid), j.jobname
    from cron.job j
    where j.username = current_user and $1::jsonb @> to_jsonb(j.jobid)
)

select (select coalesce(jsonb_agg(g.jobname), '[]'::jsonb) from gone g) as result
from auto_backup.renew($2::text, $3::text)
