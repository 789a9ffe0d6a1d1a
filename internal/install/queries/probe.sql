-- $1 is the backup. Returns the request, as auto_backup.probe describes it.
select auto_backup.probe($1::text) as result
