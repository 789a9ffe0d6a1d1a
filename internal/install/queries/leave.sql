-- $1 is the backup, $2 the holder of its lease.
select auto_backup.leave($1::text) as result
from auto_backup.renew($1::text, $2::text)
