-- Has the watchdog look, then answers with the run whose id is $2 of backup $1.
with watched as materialized (select auto_backup.watch($1::text) as summary)

select to_jsonb(r) as result
from watched
cross join auto_backup.runs r
where r.run_id = ($2::text)::uuid
