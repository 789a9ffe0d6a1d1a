-- name: null_statistics
-- Which columns of large tables hold nulls by the planner's statistics: such a table
-- is not read for it.
-- kind: value
-- with: relation
select jsonb_object_agg(t.name, t.columns)
from (
    select r.nspname || '.' || r.relname as name, jsonb_object_agg(s.attname, true) as columns
    from relation r
    inner join pg_stats s on s.schemaname = r.nspname and s.tablename = r.relname
    where r.detailed and r.relpages >= 8192 and s.null_frac > 0
    group by 1
) as t
