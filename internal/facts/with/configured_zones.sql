-- name: configured_zones
-- The time zones in the settings of all installed backups. A column that somebody has
-- dropped is repaired by the next apply, and must not stop its plan.
-- kind: query
-- needs: auto_backup.settings (document)
select jsonb_agg(distinct e.value ->> 'zone')
from auto_backup.settings s
cross join lateral (select to_jsonb(s) -> 'document' -> 'schedules' as schedules) as d
cross join jsonb_each(case when jsonb_typeof(d.schedules) = 'object' then d.schedules else '{}' end) as e
