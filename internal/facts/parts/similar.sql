-- name: similar
-- Functions whose names look like that of a backup.
-- kind: value
select jsonb_agg(distinct p.proname)
from pg_proc p
where p.pronamespace = to_regnamespace('public') and p.proname like '%backup%' and p.prorettype <> 'trigger'::regtype
