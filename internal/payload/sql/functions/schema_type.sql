-- Creates a composite type, a domain, an enum or a range.
create or replace function auto_backup.schema_type(type oid)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return (
        select concat_ws(
            E'\n',
            case t.typtype
                when 'c' then concat('create type ', n.name, ' as (', (
                    select string_agg(concat(
                        E'\n    ', quote_ident(a.attname), ' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
                        case when a.attcollation not in (0, b.typcollation) then ' collate ' || a.attcollation::regcollation end
                    ), ',' order by a.attnum)
                    from pg_catalog.pg_attribute a
                    inner join pg_catalog.pg_type b on b.oid = a.atttypid
                    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
                ), E'\n);')
                when 'e' then concat('create type ', n.name, ' as enum (', (
                    select string_agg(E'\n    ' || quote_literal(e.enumlabel), ',' order by e.enumsortorder)
                    from pg_catalog.pg_enum e
                    where e.enumtypid = t.oid
                ), E'\n);')
                when 'd' then concat(
                    'create domain ', n.name, ' as ', pg_catalog.format_type(t.typbasetype, t.typtypmod),
                    (
                        select ' collate ' || t.typcollation::regcollation
                        from pg_catalog.pg_type b
                        where b.oid = t.typbasetype and t.typcollation not in (0, b.typcollation)
                    ),
                    ' default ' || coalesce(pg_catalog.pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault)),
                    case when t.typnotnull then ' not null' end,
                    (
                        select string_agg(format(E'\n    constraint %I %s', k.conname, pg_catalog.pg_get_constraintdef(k.oid)), '' order by k.conname)
                        from pg_catalog.pg_constraint k
                        where k.contypid = t.oid and k.contype = 'c' and k.convalidated
                    ), ';'
                )
                when 'r' then (
                    select concat(
                        'create type ', n.name, ' as range (subtype = ', pg_catalog.format_type(g.rngsubtype, null),
                        ', multirange_type_name = ', pg_catalog.format_type(g.rngmultitypid, null),
                        (
                            select format(', subtype_opclass = %I.%I', s.nspname, o.opcname)
                            from pg_catalog.pg_opclass o
                            inner join pg_catalog.pg_namespace s on s.oid = o.opcnamespace
                            where o.oid = g.rngsubopc and not o.opcdefault
                        ),
                        case when g.rngcollation not in (0, b.typcollation) then ', collation = ' || g.rngcollation::regcollation end,
                        (
                            select format(', subtype_diff = %I.%I', s.nspname, p.proname)
                            from pg_catalog.pg_proc p
                            inner join pg_catalog.pg_namespace s on s.oid = p.pronamespace
                            where p.oid = g.rngsubdiff::oid
                        ),
                        ');'
                    )
                    from pg_catalog.pg_range g
                    inner join pg_catalog.pg_type b on b.oid = g.rngsubtype
                    where g.rngtypid = t.oid
                )
            end,
            auto_backup.schema_comment(case t.typtype when 'd' then 'domain ' else 'type ' end || n.name, 'pg_type'::regclass, t.oid),
            (
                select string_agg(
                    auto_backup.schema_comment(format('constraint %I on domain %s', k.conname, n.name), 'pg_constraint'::regclass, k.oid), E'\n' order by k.conname
                )
                from pg_catalog.pg_constraint k
                where k.contypid = t.oid and k.contype = 'c' and k.convalidated
            ),
            (
                select string_agg(
                    auto_backup.schema_comment(format('column %s.%I', n.name, a.attname), 'pg_class'::regclass, t.typrelid, a.attnum), E'\n' order by a.attnum
                )
                from pg_catalog.pg_attribute a
                where a.attrelid = t.typrelid
            )
        )
        from pg_catalog.pg_type t
        cross join lateral (select pg_catalog.format_type(t.oid, null) as name) as n
        where t.oid = schema_type.type
    );
end
$body$;
