-- name: foreign_triggers
-- The enabled triggers of the log tables and of pg_net's tables whose function belongs
-- to another role than the table's owner and postgres: that role decides what is run
-- whenever a job or the application writes there. A superuser needs no trigger.
-- kind: value
select jsonb_agg(jsonb_build_object(
    'table', n.nspname || '.' || c.relname, 'name', t.tgname,
    'function', p.pronamespace::regnamespace || '.' || quote_ident(p.proname), 'owner', o.rolname
) order by n.nspname, c.relname, t.tgname)
from pg_trigger t
inner join pg_class c on c.oid = t.tgrelid
inner join pg_namespace n on n.oid = c.relnamespace
inner join pg_proc p on p.oid = t.tgfoid
inner join pg_roles o on o.oid = p.proowner
where not t.tgisinternal and t.tgenabled <> 'D' and not o.rolsuper and o.oid <> c.relowner and o.rolname <> 'postgres'
and (n.nspname, c.relname) in (
    ('public', 'backup_logs'), ('public', 'system_logs'), ('net', 'http_request_queue'), ('net', '_http_response')
)
