-- $1 is the backup, $2 how many ways to show the keys were refused, $3 the destination.
-- Returns the request, as auto_backup.offsite_probe describes it.
select auto_backup.offsite_probe($1::text, $3::text, ($2::text)::integer) as result
