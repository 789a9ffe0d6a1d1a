-- name: configured_zones
-- The time zones in the settings of all installed backups.
-- kind: query
-- needs: auto_backup.settings (document)
select jsonb_agg(distinct e.value ->> 'zone')
from auto_backup.settings s
cross join jsonb_each(case when jsonb_typeof(s.document -> 'schedules') = 'object' then s.document -> 'schedules' else '{}' end) e
