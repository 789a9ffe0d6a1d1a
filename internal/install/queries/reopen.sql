-- Marks the installation of the backup $1 as unfinished.
update auto_backup.settings set completed_at = null
where backup = $1::text
returning to_jsonb(backup) as result
