-- name: similar
-- Functions whose names look like that of a backup. Only a plan needs them.
-- kind: value
-- parameters: code
select jsonb_agg(distinct p.proname)
from pg_proc p
where :'code' is not null and p.pronamespace = to_regnamespace('public') and p.proname like '%backup%' and p.prorettype <> 'trigger'::regtype
