-- name: log_trigger
-- The enabled triggers of the log tables, with their functions.
select
    c.relname, t.tgname, t.tgtype, t.tgqual is not null as conditional,
    p.proname, n.nspname, p.prosrc, l.lanname
from pg_trigger t
inner join pg_class c on c.oid = t.tgrelid and c.relname in ('backup_logs', 'system_logs')
inner join pg_namespace s on s.oid = c.relnamespace and s.nspname = 'public'
inner join pg_proc p on p.oid = t.tgfoid
inner join pg_namespace n on n.oid = p.pronamespace
inner join pg_language l on l.oid = p.prolang
where not t.tgisinternal and t.tgenabled in ('O', 'A')
