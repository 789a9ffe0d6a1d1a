-- The objects of a copy's schema: the tables, with all that is theirs (schema_members),
-- the functions, the types, and what these need (schema_depends), but for other tables and views.
-- For each object:
-- name       as PostgreSQL quotes it
-- level      how many objects, one needing the other, come before it
-- late       whether it needs a constraint, and so is created after those
-- missing    what it needs and is not in the copy; such an object is left out
-- extensions the extensions that it needs and without which the tables can be created
create or replace function auto_backup.schema_objects(tables oid [], functions oid [], types oid [] default null)
returns table (
    class oid, object oid, kind text, name text, level integer, late boolean, missing text [], extensions oid []
)
language plpgsql
stable
set search_path = ''
set jit = off
as $body$
#variable_conflict use_column
declare
    new_classes oid[];
    new_objects oid[];
    all_classes oid[] := '{}';
    all_objects oid[] := '{}';
    -- Which object needs which.
    from_classes oid[] := '{}';
    from_objects oid[] := '{}';
    to_classes oid[] := '{}';
    to_objects oid[] := '{}';
    found record;
begin
    select array_agg(n.class), array_agg(n.id) into new_classes, new_objects
    from (
        select 'pg_class'::regclass::oid as class, t.id from unnest(schema_objects.tables) as t (id)
        union
        select 'pg_proc'::regclass, f.id from unnest(schema_objects.functions) as f (id)
        union
        select 'pg_type'::regclass, t.id from unnest(schema_objects.types) as t (id)
    ) as n;
    while new_objects is not null loop
        all_classes := all_classes || new_classes;
        all_objects := all_objects || new_objects;
        select
            array_agg(d.class) as class, array_agg(d.object) as object, array_agg(d.needed_class) as needed_class, array_agg(d.needed) as needed
        into found
        from auto_backup.schema_depends(new_classes, new_objects) as d;
        from_classes := from_classes || found.class;
        from_objects := from_objects || found.object;
        to_classes := to_classes || found.needed_class;
        to_objects := to_objects || found.needed;

        select array_agg(n.class), array_agg(n.id) into new_classes, new_objects
        from (
            (
                select m.class, m.object as id
                from auto_backup.schema_members(new_classes, new_objects) as m
                union
                select d.class, d.id
                from unnest(found.needed_class, found.needed) as d (class, id)
                left join pg_catalog.pg_class c on d.class = 'pg_class'::regclass and c.oid = d.id
                where c.relkind = 'S' or d.class in (
                    'pg_type'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_extension'::regclass,
                    'pg_collation'::regclass, 'pg_ts_config'::regclass, 'pg_ts_dict'::regclass
                )
            )
            except
            select a.class, a.id from unnest(all_classes, all_objects) as a (class, id)
        ) as n;
    end loop;

    return query
    with recursive object as materialized (
        select
            n.class, n.id, c.relkind,
            case
                when c.relkind in ('r', 'p') then 'table'
                when c.relkind = 'S' then 'sequence'
                when c.relkind in ('i', 'I') then 'index'
                when n.class = 'pg_attrdef'::regclass then case when a.attgenerated = '' then 'default' else 'part' end
                when t.typtype in ('c', 'd', 'e') or (t.typtype = 'r' and g.rngcanonical = 0) then 'type'
                when p.prokind in ('f', 'p') and l.lanname not in ('c', 'internal') then 'function'
                when k.contype in ('p', 'u', 'x') then 'key'
                when k.contype = 'f' then 'foreign key'
                when k.contype = 'c' then case when k.conrelid <> 0 then 'check' when k.convalidated then 'part' else 'domain check' end
                else o.kind
            end as kind,
            -- A generated column and the check of a domain are part of another object.
            case when d.oid is not null then 'pg_class'::regclass::oid else 'pg_type'::regclass end as whole_class,
            coalesce(d.adrelid, k.contypid) as whole
        from unnest(all_classes, all_objects) as n (class, id)
        left join pg_catalog.pg_class c on n.class = 'pg_class'::regclass and c.oid = n.id
        left join pg_catalog.pg_attrdef d on n.class = 'pg_attrdef'::regclass and d.oid = n.id
        left join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
        left join pg_catalog.pg_type t on n.class = 'pg_type'::regclass and t.oid = n.id
        left join pg_catalog.pg_range g on g.rngtypid = t.oid
        left join pg_catalog.pg_proc p on n.class = 'pg_proc'::regclass and p.oid = n.id
        left join pg_catalog.pg_language l on l.oid = p.prolang
        left join pg_catalog.pg_constraint k on n.class = 'pg_constraint'::regclass and k.oid = n.id
        left join (
            values
            ('pg_namespace'::regclass, 'schema'), ('pg_extension', 'extension'), ('pg_collation', 'collation'), ('pg_ts_config', 'text search'),
            ('pg_ts_dict', 'text search'), ('pg_trigger', 'trigger'), ('pg_policy', 'policy'), ('pg_rewrite', 'rule'),
            ('pg_statistic_ext', 'statistics')
        ) as o (class, kind) on o.class = n.class
    ),

    need as materialized (
        select distinct
            case when o.kind = 'part' then o.whole_class else o.class end as class,
            case when o.kind = 'part' then o.whole else o.id end as id,
            d.needed_class, d.needed,
            case when o.kind = 'part' then case when o.class = 'pg_attrdef'::regclass then 'table' else 'type' end else o.kind end as kind
        from unnest(from_classes, from_objects, to_classes, to_objects) as d (class, id, needed_class, needed)
        inner join object o using (class, id)
        where o.kind is distinct from 'part' or (d.needed_class, d.needed) <> (o.whole_class, o.whole)
    ),

    missing (class, id, what) as (
        select n.class, n.id, w.type || ' ' || w.identity
        from need n
        left join object o on (o.class, o.id) = (n.needed_class, n.needed)
        cross join lateral pg_catalog.pg_identify_object(n.needed_class, n.needed, 0) as w
        where o.kind is null and w.type <> 'index' -- a foreign key needs its table, too
        union
        select o.class, o.id, w.type || ' ' || w.identity
        from object o
        cross join lateral pg_catalog.pg_identify_object(o.class, o.id, 0) as w
        where o.kind is null
        union
        select n.class, n.id, m.what
        from missing m
        inner join need n on (n.needed_class, n.needed) = (m.class, m.id)
    ),

    depth (class, id, level) as (
        select o.class, o.id, 0 from object o
        where o.kind in ('schema', 'extension', 'type', 'function', 'sequence', 'table', 'collation', 'text search')
        union
        select n.class, n.id, d.level + 1
        from depth d
        inner join need n on (n.needed_class, n.needed) = (d.class, d.id)
        where d.level < 60 and n.kind in ('schema', 'extension', 'type', 'function', 'sequence', 'table', 'collation', 'text search')
    ),

    late (class, id) as (
        select n.class, n.id
        from need n
        where n.kind = 'function' and n.needed_class = 'pg_constraint'::regclass
        union
        select n.class, n.id
        from late l
        inner join need n on (n.needed_class, n.needed) = (l.class, l.id)
    ),

    extended (class, id, extension) as (
        select o.class, o.id, o.id from object o where o.kind = 'extension'
        union
        select n.class, n.id, e.extension
        from extended e
        inner join need n on (n.needed_class, n.needed) = (e.class, e.id)
    ),

    needless as materialized (
        select e.class, e.id, array_agg(e.extension order by e.extension) as extensions
        from extended e
        where e.extension not in (
            select h.extension from extended h inner join object o on (o.class, o.id) = (h.class, h.id) where o.kind = 'table'
        )
        group by e.class, e.id
    )

    select
        o.class, o.id, o.kind, i.identity, coalesce(d.level, 0), l.id is not null, m.missing, x.extensions
    from object o
    cross join lateral pg_catalog.pg_identify_object(o.class, o.id, 0) as i
    left join (select d.class, d.id, max(d.level) as level from depth d group by d.class, d.id) as d using (class, id)
    left join (select m.class, m.id, array_agg(m.what order by m.what) as missing from missing m group by m.class, m.id) as m using (class, id)
    left join late l using (class, id)
    left join needless x using (class, id)
    where o.kind is distinct from 'part';
end
$body$;
