-- Lets auto_backup_agent look up the names that the live tables of a drill use: those of
-- types, functions, operators. The grants are rolled back with everything else.
create or replace function auto_backup.drill_open(layouts jsonb)
returns void
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    namespace oid;
begin
    for namespace in
        with live (id) as (
            select pg_catalog.to_regclass(l.value ->> 'live')::oid from jsonb_array_elements(layouts) l
        ),

        part (class, id) as (
            select 'pg_class'::regclass, v.id from live v
            union all
            select 'pg_constraint'::regclass, k.oid from live v inner join pg_catalog.pg_constraint k on k.conrelid = v.id
            union all
            select 'pg_attrdef'::regclass, f.oid from live v inner join pg_catalog.pg_attrdef f on f.adrelid = v.id
            union all
            select 'pg_class'::regclass, x.indexrelid from live v inner join pg_catalog.pg_index x on x.indrelid = v.id
        ),

        used (id) as (
            select coalesce(t.typnamespace, p.pronamespace, o.oprnamespace, c.opcnamespace, n.collnamespace, r.relnamespace)
            from part
            inner join pg_catalog.pg_depend d on d.classid = part.class and d.objid = part.id
            left join pg_catalog.pg_type t on d.refclassid = 'pg_type'::regclass and t.oid = d.refobjid
            left join pg_catalog.pg_proc p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
            left join pg_catalog.pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
            left join pg_catalog.pg_opclass c on d.refclassid = 'pg_opclass'::regclass and c.oid = d.refobjid
            left join pg_catalog.pg_collation n on d.refclassid = 'pg_collation'::regclass and n.oid = d.refobjid
            left join pg_catalog.pg_class r on d.refclassid = 'pg_class'::regclass and r.oid = d.refobjid
        )

        select distinct u.id
        from used u
        where u.id is not null and u.id <> 'pg_catalog'::regnamespace
        and not pg_catalog.has_schema_privilege('auto_backup_agent', u.id, 'usage')
    loop
        begin
            execute format('grant usage on schema %s to auto_backup_agent', namespace::regnamespace);
        exception
            when insufficient_privilege then null;
        end;
    end loop;
end
$body$;
