-- Notes that the installation of the backup $1 has not come to its end.
update auto_backup.settings set completed_at = null
where backup = $1::text
returning to_jsonb(backup) as result
