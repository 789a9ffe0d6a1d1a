-- Removes jobs by their ids, a JSON array in $1, also those of other roles. $2 is
-- the backup, $3 the holder of its lease.
select auto_backup.unschedule($1::jsonb) as result
from auto_backup.renew($2::text, $3::text)
