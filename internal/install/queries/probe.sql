-- $1 is the backup, $2 how many ways to show the keys were refused. Returns the request,
-- as auto_backup.probe describes it.
select auto_backup.probe($1::text, ($2::text)::integer) as result
