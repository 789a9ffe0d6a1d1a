-- $1 is the backup, $2 the holder of its lease.
select auto_backup.restore_log_constraint() as result
from auto_backup.hold($1::text, $2::text)
