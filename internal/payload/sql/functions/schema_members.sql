-- What belongs to objects: to a table its columns' defaults, constraints, indexes,
-- triggers, policies, rules, statistics, sequences, partitions, and the tables from which
-- it inherits; to a domain its checks; to an extension its schema.
create or replace function auto_backup.schema_members(classes oid [], objects oid [])
returns table (class oid, object oid)
language sql
stable
set search_path = ''
as $body$
    with own as materialized (
        select c.oid as id, c.relkind, c.relispartition
        from unnest(schema_members.classes, schema_members.objects) as n (class, id)
        inner join pg_catalog.pg_class c on c.oid = n.id
        where n.class = 'pg_class'::regclass and c.relkind in ('r', 'p')
    )

    select 'pg_attrdef'::regclass::oid, d.oid
    from own
    inner join pg_catalog.pg_attrdef d on d.adrelid = own.id
    union all
    -- A partition has the foreign keys, and a child the checks, of its parent.
    select 'pg_constraint'::regclass, k.oid
    from own
    inner join pg_catalog.pg_constraint k on k.conrelid = own.id
    where k.contype in ('p', 'u', 'x') or (k.contype = 'f' and k.conparentid = 0) or (k.contype = 'c' and k.conislocal)
    union all
    select 'pg_class'::regclass, x.indexrelid
    from own
    inner join pg_catalog.pg_index x on x.indrelid = own.id and x.indislive
    union all
    select 'pg_trigger'::regclass, g.oid
    from own
    inner join pg_catalog.pg_trigger g on g.tgrelid = own.id and not g.tgisinternal and g.tgparentid = 0
    union all
    select 'pg_policy'::regclass, p.oid
    from own
    inner join pg_catalog.pg_policy p on p.polrelid = own.id
    union all
    select 'pg_rewrite'::regclass, w.oid
    from own
    inner join pg_catalog.pg_rewrite w on w.ev_class = own.id
    union all
    select 'pg_statistic_ext'::regclass, s.oid
    from own
    inner join pg_catalog.pg_statistic_ext s on s.stxrelid = own.id
    union all
    select 'pg_class'::regclass, s.oid
    from own
    inner join pg_catalog.pg_depend d
        on d.refclassid = 'pg_class'::regclass and d.refobjid = own.id and d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i')
    inner join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    union all
    select 'pg_class'::regclass, i.inhrelid
    from own
    inner join pg_catalog.pg_inherits i on i.inhparent = own.id
    where own.relkind = 'p'
    union all
    select 'pg_class'::regclass, i.inhparent
    from own
    inner join pg_catalog.pg_inherits i on i.inhrelid = own.id
    where not own.relispartition
    union all
    select 'pg_constraint'::regclass, k.oid
    from unnest(schema_members.classes, schema_members.objects) as n (class, id)
    inner join pg_catalog.pg_constraint k on k.contypid = n.id and k.conrelid = 0 and k.contype = 'c'
    where n.class = 'pg_type'::regclass
    union all
    select 'pg_namespace'::regclass, e.extnamespace
    from unnest(schema_members.classes, schema_members.objects) as n (class, id)
    inner join pg_catalog.pg_extension e on e.oid = n.id and e.extnamespace <> 'pg_catalog'::regnamespace
    where n.class = 'pg_extension'::regclass
$body$;
