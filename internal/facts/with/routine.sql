-- name: routine
-- Every function of the name of the one that makes the backup, in whatever schema:
-- of the parameter, or else of the settings.
-- with: configured
-- parameters: rpc
select
    p.oid, n.nspname as schema, p.proname, p.prokind, p.provolatile, p.prosecdef, p.proretset, p.proconfig,
    p.pronargs - p.pronargdefaults as required, p.pronargs, p.proowner, l.lanname, t.typname, t.typtype,
    -- A body in standard SQL is kept elsewhere, since PostgreSQL 14.
    case when l.lanname = 'sql' and p.prosrc = '' and p.prokind = 'f' then pg_get_functiondef(p.oid) else p.prosrc end as source,
    (
        select array_agg(a.name order by a.position)
        from unnest(p.proargnames, p.proargmodes) with ordinality as a (name, mode, position)
        where a.mode in ('o', 'b', 't')
    )
    || (
        select array_agg(a.attname::text order by a.attnum)
        from pg_attribute a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ) as result_columns
from pg_proc p
inner join pg_namespace n on n.oid = p.pronamespace
inner join pg_language l on l.oid = p.prolang
inner join pg_type t on t.oid = p.prorettype
where p.proname = coalesce(:'rpc', (select c.value ->> 'rpc' from configured c)) and n.nspname not in ('pg_catalog', 'information_schema')
