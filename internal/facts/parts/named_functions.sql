-- name: named_functions
-- Every function whose name occurs in the code.
-- kind: value
-- with: code
select jsonb_agg(distinct p.proname)
from pg_proc p
cross join code
where strpos(code.backup, p.proname) > 0 or strpos(code.triggers, p.proname) > 0
