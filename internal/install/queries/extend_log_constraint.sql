-- $1 is a JSON array of the names of the CHECKs to widen, $2 the backup, $3 the
-- holder of its lease.
select to_jsonb(auto_backup.extend_log_constraint($1::jsonb) is null) as result
from auto_backup.renew($2::text, $3::text)
