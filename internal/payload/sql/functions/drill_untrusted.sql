-- Why a drill must not read a relation as postgres, as the relation's name; null if it
-- may: it is a table, and it and its partitions belong to postgres, to a superuser or
-- to a role of the platform. Anything else could run another role's code.
create or replace function auto_backup.drill_untrusted(relation oid)
returns text
language sql
stable
set search_path = ''
as $body$
    with recursive part (id) as (
        select drill_untrusted.relation
        union
        select i.inhrelid
        from part p
        inner join pg_catalog.pg_inherits i on i.inhparent = p.id
    )

    select c.oid::regclass::text
    from part p
    inner join pg_catalog.pg_class c on c.oid = p.id
    inner join pg_catalog.pg_roles r on r.oid = c.relowner
    where c.relkind not in ('r', 'p')
    or not (r.rolname = current_user or r.rolsuper or r.rolname in ('supabase_auth_admin', 'supabase_storage_admin', 'supabase_realtime_admin'))
    order by c.oid
    limit 1
$body$;
