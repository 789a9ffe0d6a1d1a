-- name: similar
-- Functions whose names look like that of a backup. Only a plan needs them.
-- kind: value
-- parameters: planning
select jsonb_agg(distinct p.proname)
from pg_proc p
where :'planning' is not null and p.pronamespace = to_regnamespace('public') and p.proname like '%backup%' and p.prorettype <> 'trigger'::regtype
