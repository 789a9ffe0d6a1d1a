-- $1 is the backup, $2 its settings, $3 the id of its Edge Function, $4 its
-- jobs, $5 the ids of jobs to remove, $6 the holder of the backup's lease.
select auto_backup.configure($1::text, $2::jsonb, $3::text, $4::jsonb, $5::jsonb) as result
from auto_backup.renew($1::text, $6::text)
