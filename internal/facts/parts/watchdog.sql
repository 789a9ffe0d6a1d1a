-- name: watchdog
-- When the watchdog looked last, what stood in its way, and how many log rows it
-- ignored because the function has not signed them. What the retention did is read as of
-- JSON, because older versions lack the column.
-- kind: query
-- of: backup
-- needs: auto_backup.watchdog (backup, watched_at, summary)
-- parameters: backup
select jsonb_build_object('at', w.watched_at, 'problems', w.summary -> 'problems',
    'forged', w.summary #> '{collect,forged}', 'retention', to_jsonb(w) -> 'retention'
)
from auto_backup.watchdog w where w.backup = :'backup'
