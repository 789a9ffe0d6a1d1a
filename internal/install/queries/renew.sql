-- Renews a lease. $1 is the backup, $2 the holder.
select to_jsonb(true) as result from auto_backup.renew($1::text, $2::text)
