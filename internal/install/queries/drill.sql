-- Requests a restore drill, or finds the request that is open. $1 is the backup.
select auto_backup.drill_now($1::text) as result
