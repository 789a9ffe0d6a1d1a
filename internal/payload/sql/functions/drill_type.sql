-- The type below a domain, and whether it is one of PostgreSQL's own.
create or replace function auto_backup.drill_type(type oid, out id oid, out builtin boolean)
language sql
stable
set search_path = ''
as $body$
    with recursive base (id, below, namespace) as (
        select t.oid, t.typbasetype, t.typnamespace from pg_catalog.pg_type t where t.oid = drill_type.type
        union all
        select t.oid, t.typbasetype, t.typnamespace
        from base b
        inner join pg_catalog.pg_type t on t.oid = b.below
    )

    select b.id, b.namespace = 'pg_catalog'::regnamespace from base b where b.below = 0
$body$;
