-- The statements of one section of a copy's schema: "before" for what the rows need, and
-- "after" for the rest; `place`, `level` and `name` are their order. Where an object
-- needs an extension without which the tables can be created, its statement is skipped
-- if the extension is not there. An object that needs something outside the copy is a
-- comment.
create or replace function auto_backup.schema_statements(tables oid [], functions oid [], types oid [], section text)
returns table (place integer, level integer, name text, statement text)
language sql
stable
set search_path = ''
set jit = off
as $body$
    with object as materialized (
        -- A function of another schema, such as auth, may be there already.
        select o.*, p.oid is not null and p.pronamespace not in (
            select c.relnamespace from pg_catalog.pg_class c where c.oid = any (schema_statements.tables)
            union
            select f.pronamespace from pg_catalog.pg_proc f where f.oid = any (schema_statements.functions)
        ) as lent
        from auto_backup.schema_objects(schema_statements.tables, schema_statements.functions, schema_statements.types) as o
        left join pg_catalog.pg_proc p on o.class = 'pg_proc'::regclass and p.oid = o.object
    ),

    acl as materialized (
        select o.class, o.object, a.*
        from object o
        cross join lateral auto_backup.schema_acl(o.class, o.object) as a
        where o.kind in ('table', 'sequence', 'function', 'type', 'schema') and a.acl is not null and o.missing is null
    ),

    grants as materialized (
        select a.class, a.object, string_agg(auto_backup.schema_grants(a.target, a.kind, a.acl, a.owner, a.part), E'\n' order by a.part nulls first) as statements
        from acl a
        group by a.class, a.object
    ),

    needed as materialized (
        select
            o.class, o.object, format('(select count(*) from pg_catalog.pg_extension e where e.extname in (%s)) = %s', x.names, cardinality(o.extensions)) as condition,
            format('%s %s is left out: it needs the extensions %s.', o.kind, o.name, x.names) as otherwise
        from object o
        cross join lateral (
            select string_agg(quote_literal(e.extname), ', ' order by e.extname) as names from pg_catalog.pg_extension e where e.oid = any (o.extensions)
        ) as x
        where o.extensions is not null
    ),

    present as (select o.* from object o where o.missing is null)

    select 10, 0, r.role::text, auto_backup.schema_guarded(
        format('pg_catalog.to_regrole(%L) is null', quote_ident(r.role::text)), format('create role %I nologin;', r.role)
    )
    from (
        select m.rolname as role
        from acl a
        cross join lateral pg_catalog.aclexplode(a.acl) as e
        inner join pg_catalog.pg_roles m on m.oid = e.grantee
        where e.grantee <> a.owner
        union
        select m.rolname
        from object o
        inner join pg_catalog.pg_policy p on o.kind = 'policy' and p.oid = o.object
        inner join pg_catalog.pg_roles m on m.oid = any (p.polroles)
    ) as r
    where schema_statements.section = 'before' and r.role !~ '^pg_'
    union all
    select 20, 0, o.name, auto_backup.schema_guarded(
        format('pg_catalog.to_regnamespace(%L) is null', o.name),
        concat_ws(E'\n', format('create schema %s;', o.name), auto_backup.schema_comment('schema ' || o.name, o.class, o.object), g.statements)
    )
    from present o
    left join grants g using (class, object)
    where schema_statements.section = 'before' and o.kind = 'schema' and o.name <> 'public'
    union all
    select 30, 0, o.name, case
        when o.extensions is null then x.statement
        else auto_backup.schema_guarded(
            format('exists (select from pg_catalog.pg_available_extensions e where e.name = %L)', x.extname), x.statement,
            format('The extension %s is not available. What needs it is left out.', o.name)
        )
    end
    from present o
    inner join (
        select e.oid, e.extname, format('create extension if not exists %I with schema %I;', e.extname, n.nspname) as statement
        from pg_catalog.pg_extension e
        inner join pg_catalog.pg_namespace n on n.oid = e.extnamespace
    ) as x on x.oid = o.object
    where schema_statements.section = 'before' and o.kind = 'extension'
    union all
    select
        case when o.late then p.late else p.place end,
        -- A check of a parent becomes one with those of the children.
        case o.kind when 'check' then -o.level else o.level end, o.name,
        case
            when o.missing is not null
                then auto_backup.schema_remark(format(E'Left out: %s %s, which needs %s:\n%s', o.kind, o.name, array_to_string(o.missing, ', '), coalesce(s.text, '?')))
            else coalesce(auto_backup.schema_guarded(n.condition, w.text, n.otherwise), w.text)
        end
    from object o
    inner join (
        values
        ('collation', 'before', 40, 80), ('text search', 'before', 40, 80), ('type', 'before', 40, 80), ('function', 'before', 40, 80),
        ('sequence', 'before', 40, 80), ('table', 'before', 40, 80), ('domain check', 'before', 70, 81), ('default', 'before', 80, 82),
        ('key', 'after', 20, 20), ('index', 'after', 30, 83), ('check', 'after', 50, 84), ('foreign key', 'after', 60, 85),
        ('statistics', 'after', 70, 86), ('trigger', 'after', 90, 90), ('rule', 'after', 100, 100), ('policy', 'after', 120, 120)
    ) as p (kind, section, place, late) on p.kind = o.kind
    cross join lateral (select auto_backup.schema_statement(o.kind, o.object) as text offset 0) as s
    left join grants g on g.class = o.class and g.object = o.object and o.lent
    left join needed n on n.class = o.class and n.object = o.object
    cross join lateral (
        select case
            when o.lent then auto_backup.schema_guarded(
                format('pg_catalog.to_regprocedure(%L) is null', o.object::regprocedure), concat_ws(E'\n', s.text, g.statements)
            )
            else s.text
        end as text
        offset 0
    ) as w
    where schema_statements.section = case when o.late then 'after' else p.section end
    and (coalesce(s.text, '') <> '' or o.missing is not null)
    union all
    select 50, o.level, o.name, format(
        'alter table only %s attach partition %s %s;', i.inhparent::regclass, c.oid::regclass, pg_catalog.pg_get_expr(c.relpartbound, c.oid)
    )
    from present o
    inner join pg_catalog.pg_class c on c.oid = o.object and o.kind = 'table' and c.relispartition
    inner join pg_catalog.pg_inherits i on i.inhrelid = c.oid
    inner join present m on m.object = i.inhparent and m.kind = 'table'
    where schema_statements.section = 'before'
    union all
    select 60, 0, o.name, format('alter sequence %s owned by %s.%I;', o.object::regclass, a.attrelid::regclass, a.attname)
    from present o
    inner join pg_catalog.pg_depend d
        on d.classid = 'pg_class'::regclass and d.objid = o.object and d.refclassid = 'pg_class'::regclass and d.deptype = 'a' and d.refobjsubid > 0
    inner join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    inner join present m on m.object = a.attrelid and m.kind = 'table'
    where schema_statements.section = 'before' and o.kind = 'sequence'
    union all
    select 10, 0, o.name, auto_backup.schema_sequence_value(o.object)
    from present o
    where schema_statements.section = 'after' and o.kind = 'sequence'
    union all
    select 40, 0, o.name, format('alter index %s attach partition %s;', i.inhparent::regclass, o.object::regclass)
    from present o
    inner join pg_catalog.pg_inherits i on i.inhrelid = o.object
    inner join present m on m.object = i.inhparent and m.kind = 'index'
    where schema_statements.section = 'after' and o.kind = 'index'
    union all
    -- The triggers of a partition are those of its parent, but may be disabled.
    select 91, o.level, o.name, format(
        'alter table %s %s trigger %I;', g.tgrelid::regclass,
        case g.tgenabled when 'D' then 'disable' when 'R' then 'enable replica' when 'A' then 'enable always' else 'enable' end, g.tgname
    )
    from present o
    inner join pg_catalog.pg_trigger g on g.tgrelid = o.object and o.kind = 'table' and not g.tgisinternal
    inner join pg_catalog.pg_trigger m on m.oid = g.tgparentid and m.tgenabled <> g.tgenabled
    where schema_statements.section = 'after'
    union all
    select 110, 0, o.name, nullif(concat_ws(
        E'\n',
        case when c.relrowsecurity then format('alter table %s enable row level security;', c.oid::regclass) end,
        case when c.relforcerowsecurity then format('alter table only %s force row level security;', c.oid::regclass) end,
        format('alter table only %s replica identity ', c.oid::regclass) || case c.relreplident
            when 'n' then 'nothing'
            when 'f' then 'full'
            when 'i' then (
                select 'using index ' || quote_ident(i.relname)
                from pg_catalog.pg_index x
                inner join present m on m.object = x.indexrelid
                inner join pg_catalog.pg_class i on i.oid = x.indexrelid
                where x.indrelid = c.oid and x.indisreplident
            )
        end || ';'
    ), '')
    from present o
    inner join pg_catalog.pg_class c on c.oid = o.object and o.kind = 'table'
    where schema_statements.section = 'after'
    union all
    select 125, 0, '', auto_backup.schema_revoked(
        array(select o.object::regclass::text from present o where o.kind in ('table', 'sequence') order by 1),
        array(select o.object::regprocedure::text from present o where o.kind = 'function' and not o.lent and o.extensions is null order by 1)
    )
    where schema_statements.section = 'after'
    union all
    select 130, 0, o.kind || ' ' || o.name, coalesce(auto_backup.schema_guarded(n.condition, g.statements, n.otherwise), g.statements)
    from present o
    inner join grants g using (class, object)
    left join needed n using (class, object)
    where schema_statements.section = 'after' and not o.lent and (o.kind <> 'schema' or o.name = 'public')
$body$;
