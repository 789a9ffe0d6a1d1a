-- name: since
-- Since when each schedule is as it is.
-- kind: query
-- of: backup
-- needs: auto_backup.schedules (backup, schedule, since)
-- parameters: backup
select jsonb_object_agg(s.schedule, s.since) from auto_backup.schedules s where s.backup = :'backup'
