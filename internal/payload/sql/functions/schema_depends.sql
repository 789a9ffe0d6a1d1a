-- What objects need before they can be created, from pg_depend. Arrays and multiranges
-- count as their element's type and their range, a range's constructors as the range, a
-- table's row type as the table, and a member of an extension as the extension. What every PostgreSQL has is left out, and
-- so is what is stated afterwards: the parent of a partition, the owner of a sequence.
create or replace function auto_backup.schema_depends(classes oid [], objects oid [])
returns table (class oid, object oid, needed_class oid, needed oid)
language sql
stable
set search_path = ''
as $body$
    with own as materialized (
        select n.class, n.id, n.class as catalog, n.id as entry
        from unnest(schema_depends.classes, schema_depends.objects) as n (class, id)
        union all
        -- The columns of a composite type are those of a relation.
        select n.class, n.id, 'pg_class'::regclass, t.typrelid
        from unnest(schema_depends.classes, schema_depends.objects) as n (class, id)
        inner join pg_catalog.pg_type t on n.class = 'pg_type'::regclass and t.oid = n.id and t.typrelid <> 0
    )

    select distinct own.class, own.id, coalesce(x.refclassid, r.class), coalesce(x.refobjid, r.id)
    from own
    inner join pg_catalog.pg_depend d on d.classid = own.catalog and d.objid = own.entry and d.deptype in ('n', 'a', 'i')
    left join pg_catalog.pg_class self on own.class = 'pg_class'::regclass and self.oid = own.id
    left join pg_catalog.pg_class c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid
    left join pg_catalog.pg_depend made
        on d.refclassid = 'pg_proc'::regclass and made.classid = 'pg_proc'::regclass and made.objid = d.refobjid
        and made.refclassid = 'pg_type'::regclass and made.deptype = 'i'
    left join pg_catalog.pg_type t
        on t.oid = case when d.refclassid = 'pg_type'::regclass then d.refobjid when c.relkind = 'c' then c.reltype else made.refobjid end
    left join pg_catalog.pg_type element on element.oid = t.typelem and element.typarray = t.oid
    left join pg_catalog.pg_range multi on multi.rngmultitypid = coalesce(element.oid, t.oid)
    left join pg_catalog.pg_type bare on bare.oid = coalesce(multi.rngtypid, element.oid, t.oid)
    left join pg_catalog.pg_class relation on relation.oid = bare.typrelid and relation.relkind <> 'c'
    cross join lateral (
        select
            case when relation.oid is not null then 'pg_class'::regclass when bare.oid is not null then 'pg_type'::regclass else d.refclassid end as class,
            coalesce(relation.oid, bare.oid, d.refobjid) as id
    ) as r
    left join pg_catalog.pg_depend x on x.classid = r.class and x.objid = r.id and x.deptype = 'e'
    -- What initdb makes is below, but the schema public is not everywhere.
    where (coalesce(x.refobjid, r.id) >= 16384 or (r.class = 'pg_namespace'::regclass and r.id = 2200))
    and (r.class, r.id) <> (own.class, own.id)
    and not coalesce(self.relkind in ('r', 'p', 'S') and d.deptype in ('a', 'i') and r.class = 'pg_class'::regclass, false)
$body$;
