-- name: triggers
-- The enabled triggers of the log tables, with their functions.
-- kind: value
-- with: log_trigger
select jsonb_agg(jsonb_build_object(
    'table', t.relname, 'name', t.tgname, 'type', t.tgtype, 'conditional', t.conditional,
    'function', t.nspname || '.' || t.proname, 'language', t.lanname, 'source', t.prosrc
) order by t.relname, t.tgname)
from log_trigger t
