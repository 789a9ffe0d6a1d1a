-- Releases a lease. $1 is the backup, $2 the holder.
delete from auto_backup.leases l where l.backup = $1::text and l.holder = $2::text
returning to_jsonb(true) as result
