-- Of what an export's schema consists: its tables, the live tables and the copies of the
-- backup, the SQL function that makes the backup, and of these tables' schemas all
-- functions, all types, and all sequences that belong to no table. What has been dropped
-- since is left out.
create or replace function auto_backup.export_schema_objects(tables jsonb, document jsonb, out relations regclass [], out routines regprocedure [], out types regtype [])
language sql
stable
set search_path = ''
as $body$
    with name as (
        select t.value ->> 'schema' as schema, t.value ->> 'name' as name
        from jsonb_array_elements(export_schema_objects.tables) t
        union
        select p.name ->> 0, p.name ->> 1
        from jsonb_array_elements(nullif(export_schema_objects.document #> '{offsite,tables}', 'null')) t
        cross join lateral (values (t.value -> 'live'), (t.value -> 'copy')) as p (name)
    ),

    relation as (
        select c.oid, c.relnamespace
        from name n
        inner join pg_catalog.pg_namespace s on s.nspname = n.schema
        inner join pg_catalog.pg_class c on c.relnamespace = s.oid and c.relname = n.name and c.relkind in ('r', 'p')
    )

    select
        (
            select array_agg(c.oid::regclass order by c.oid)
            from pg_catalog.pg_class c
            where c.oid in (select r.oid from relation r)
            or (c.relkind = 'S' and c.relnamespace in (select r.relnamespace from relation r) and not exists (
                select from pg_catalog.pg_depend d
                where d.classid = 'pg_class'::regclass and d.objid = c.oid and (d.deptype in ('i', 'e') or (d.deptype = 'a' and d.refobjsubid > 0))
            ))
        ),
        (
            select array_agg(p.oid::regprocedure order by p.oid)
            from pg_catalog.pg_proc p
            inner join pg_catalog.pg_namespace s on s.oid = p.pronamespace
            where (
                p.pronamespace in (select r.relnamespace from relation r)
                or (s.nspname = 'public' and p.proname = export_schema_objects.document #>> '{function,rpc}')
            )
            and not exists (
                select from pg_catalog.pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i') -- i: a range's own
            )
        ),
        (
            select array_agg(t.oid::regtype order by t.oid)
            from pg_catalog.pg_type t
            left join pg_catalog.pg_class c on c.oid = t.typrelid
            where t.typnamespace in (select r.relnamespace from relation r)
            and (t.typtype in ('d', 'e', 'r') or (t.typtype = 'c' and c.relkind = 'c'))
            and not exists (
                select from pg_catalog.pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
            )
        )
$body$;
