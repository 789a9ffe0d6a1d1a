-- name: backups
-- The names of the installed backups.
-- kind: query
-- needs: auto_backup.settings (backup)
select jsonb_agg(to_jsonb(s) -> 'backup' order by to_jsonb(s) ->> 'backup') from auto_backup.settings s
