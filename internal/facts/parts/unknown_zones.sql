-- name: unknown_zones
-- Which of these time zones the server lacks. Reading all zones takes a while.
-- kind: value
-- parameters: zones
select jsonb_agg(z.name)
from jsonb_array_elements_text(:'zones'::jsonb) as z (name)
where not exists (select from pg_timezone_names n where n.name = z.name)
