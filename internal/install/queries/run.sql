-- Starts a backup now, or finds the one that is under way. $1 is the backup.
select auto_backup.run_now($1::text) as result
