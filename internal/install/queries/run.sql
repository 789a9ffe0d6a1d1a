-- Starts a backup now, or finds the one that is running. $1 is the backup.
select auto_backup.run_now($1::text) as result
