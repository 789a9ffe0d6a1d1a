-- The access control lists of an object and its columns, with what schema_grants needs.
create or replace function auto_backup.schema_acl(class oid, object oid)
returns table (target text, kind "char", acl aclitem [], owner oid, part name)
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_column
begin
    return query
    select
        case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass,
        case c.relkind when 'S' then 's'::"char" else 'r' end, c.relacl, c.relowner, null::name
    from pg_catalog.pg_class c
    where schema_acl.class = 'pg_class'::regclass and c.oid = schema_acl.object and c.relkind in ('r', 'p', 'S')
    union all
    (
        select 'table ' || c.oid::regclass, 'c', a.attacl, c.relowner, a.attname
        from pg_catalog.pg_class c
        inner join pg_catalog.pg_attribute a on a.attrelid = c.oid
        where schema_acl.class = 'pg_class'::regclass and c.oid = schema_acl.object and c.relkind in ('r', 'p')
        and a.attacl is not null and not a.attisdropped
        order by a.attnum
    )
    union all
    select case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure, 'f', p.proacl, p.proowner, null
    from pg_catalog.pg_proc p
    where schema_acl.class = 'pg_proc'::regclass and p.oid = schema_acl.object
    union all
    select 'schema ' || n.oid::regnamespace, 'n', n.nspacl, n.nspowner, null
    from pg_catalog.pg_namespace n
    where schema_acl.class = 'pg_namespace'::regclass and n.oid = schema_acl.object
    union all
    select case t.typtype when 'd' then 'domain ' else 'type ' end || pg_catalog.format_type(t.oid, null), 'T', t.typacl, t.typowner, null
    from pg_catalog.pg_type t
    where schema_acl.class = 'pg_type'::regclass and t.oid = schema_acl.object;
end
$body$;
