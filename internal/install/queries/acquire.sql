-- Acquires the lease on a backup. $1 is the backup, $2 the new holder, $3 its
-- process as people know it, $4 the term in seconds.
select auto_backup.acquire($1::text, $2::text, $3::text, make_interval(secs => ($4::text)::double precision)) as result
