-- name: schedules
-- Since when each schedule is as it is, as the watchdog has noted it.
-- kind: query
-- of: backup
-- needs: auto_backup.schedules (backup, schedule, definition, since)
-- parameters: backup
select jsonb_object_agg(s.schedule, jsonb_build_object('since', s.since, 'definition', s.definition))
from auto_backup.schedules s
where s.backup = :'backup'
