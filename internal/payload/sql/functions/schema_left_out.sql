-- What a copy's schema leaves out, as [{"kind", "name", "reason", "needs"}]: objects that
-- need something outside the copy or are of a kind that is not copied, indexes that are
-- not valid, and the views of the tables.
create or replace function auto_backup.schema_left_out(tables regclass [], functions regprocedure [], types regtype [] default null)
returns jsonb
language sql
stable
set search_path = ''
as $body$
    with object as materialized (
        select * from auto_backup.schema_objects(schema_left_out.tables::oid [], schema_left_out.functions::oid [], schema_left_out.types::oid [])
    )

    select coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(x)) order by x.kind collate "C", x.name collate "C"), '[]')
    from (
        select
            coalesce(o.kind, i.type) as kind, o.name,
            case when o.kind is null then 'is of a kind that is not copied' else 'needs what is not in the copy' end as reason,
            case when o.kind is not null then o.missing end as needs
        from object o
        cross join lateral pg_catalog.pg_identify_object(o.class, o.object, 0) as i
        where o.missing is not null and (o.kind is null or not (o.kind = 'index' and exists (
            select from pg_catalog.pg_constraint k where k.conindid = o.object
        )))
        union all
        select 'index', o.name, 'is not valid', null
        from object o
        inner join pg_catalog.pg_index x on x.indexrelid = o.object
        where o.kind = 'index' and not x.indisvalid and o.missing is null
        union all
        select distinct case v.relkind when 'm' then 'materialized view' else 'view' end, v.oid::regclass::text, 'is no part of the copy', null::text []
        from object o
        inner join pg_catalog.pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = o.object and d.classid = 'pg_rewrite'::regclass
        inner join pg_catalog.pg_rewrite w on w.oid = d.objid
        inner join pg_catalog.pg_class v on v.oid = w.ev_class and v.relkind in ('v', 'm')
        where o.kind = 'table'
    ) as x
$body$;
