-- Takes the lease on a backup. $1 is the backup, $2 who is to hold it, $3 the
-- same for people, $4 its length in seconds.
select auto_backup.acquire($1::text, $2::text, $3::text, make_interval(secs => ($4::text)::double precision)) as result
