-- name: drift
-- The database's own comparison of schema auto_backup with what was installed. It
-- would wait for a table that is locked.
-- kind: text
-- wants: auto_backup.installation, auto_backup.settings, auto_backup.runs, auto_backup.incidents, auto_backup.leases, auto_backup.schedules, auto_backup.watchdog
-- with: callable
select 'select auto_backup.drift()'
from callable c
where c.name in ('drift', 'catalog')
and not exists (
    select from probed l where l.relation like 'auto\_backup.%' and l.state = 'locked' and not l.usable
)
having count(*) = 2
