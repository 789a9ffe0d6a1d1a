-- name: watchdog
-- When the watchdog looked last, and what stood in its way.
-- kind: query
-- of: backup
-- needs: auto_backup.watchdog (backup, watched_at, summary)
-- parameters: backup
select jsonb_build_object('at', w.watched_at, 'problems', w.summary -> 'problems')
from auto_backup.watchdog w where w.backup = :'backup'
