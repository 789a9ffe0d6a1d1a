-- Creates one object of schema_objects.
create or replace function auto_backup.schema_statement(kind text, object oid)
returns text
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
begin
    case kind
        when 'table' then
            return auto_backup.schema_table(object);
        when 'type' then
            return auto_backup.schema_type(object);
        when 'function' then
            return auto_backup.schema_function(object);
        when 'sequence' then
            return (
                select concat(
                    'create ', case when c.relpersistence = 'u' then 'unlogged ' end, 'sequence ', object::regclass,
                    ' as ', pg_catalog.format_type(s.seqtypid, null), ' ', auto_backup.schema_sequence(object), ';',
                    E'\n' || auto_backup.schema_comment('sequence ' || object::regclass, 'pg_class'::regclass, object)
                )
                from pg_catalog.pg_sequence s
                inner join pg_catalog.pg_class c on c.oid = s.seqrelid
                -- An identity column has its own.
                where s.seqrelid = object and not exists (
                    select from pg_catalog.pg_depend d where d.classid = 'pg_class'::regclass and d.objid = object and d.deptype = 'i'
                )
            );
        when 'default' then
            return (
                select format(
                    'alter table only %s alter column %I set default %s;',
                    d.adrelid::regclass, a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
                )
                from pg_catalog.pg_attrdef d
                inner join pg_catalog.pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
                where d.oid = object
            );
        when 'key', 'foreign key', 'check', 'domain check' then
            return auto_backup.schema_constraint(object);
        when 'index' then
            -- The index of a constraint is created with it, and one that is not valid is none.
            return (
                select concat_ws(E'\n', pg_catalog.pg_get_indexdef(object) || ';', auto_backup.schema_index_details(object))
                from pg_catalog.pg_index x
                inner join pg_catalog.pg_class i on i.oid = x.indexrelid
                where x.indexrelid = object and (x.indisvalid or i.relkind = 'I') and not exists (
                    select from pg_catalog.pg_constraint k where k.conindid = object and k.contype in ('p', 'u', 'x')
                )
            );
        when 'statistics' then
            return (
                select concat_ws(
                    E'\n',
                    pg_catalog.pg_get_statisticsobjdef(object) || ';',
                    case when s.stxstattarget >= 0 then format('alter statistics %s set statistics %s;', n.name, s.stxstattarget) end,
                    auto_backup.schema_comment('statistics ' || n.name, 'pg_statistic_ext'::regclass, object)
                )
                from pg_catalog.pg_statistic_ext s
                cross join lateral (select format('%I.%I', m.nspname, s.stxname) as name from pg_catalog.pg_namespace m where m.oid = s.stxnamespace) as n
                where s.oid = object
            );
        when 'trigger' then
            return (
                select concat_ws(
                    E'\n',
                    pg_catalog.pg_get_triggerdef(object) || ';',
                    format('alter table %s ', g.tgrelid::regclass) || e.change || format(' trigger %I;', g.tgname),
                    auto_backup.schema_comment(format('trigger %I on %s', g.tgname, g.tgrelid::regclass), 'pg_trigger'::regclass, object)
                )
                from pg_catalog.pg_trigger g
                left join (values ('D', 'disable'), ('R', 'enable replica'), ('A', 'enable always')) as e (state, change) on e.state = g.tgenabled::text
                where g.oid = object
            );
        when 'rule' then
            return (
                select concat_ws(
                    E'\n',
                    pg_catalog.pg_get_ruledef(object),
                    format('alter table %s ', w.ev_class::regclass) || e.change || format(' rule %I;', w.rulename),
                    auto_backup.schema_comment(format('rule %I on %s', w.rulename, w.ev_class::regclass), 'pg_rewrite'::regclass, object)
                )
                from pg_catalog.pg_rewrite w
                left join (values ('D', 'disable'), ('R', 'enable replica'), ('A', 'enable always')) as e (state, change) on e.state = w.ev_enabled::text
                where w.oid = object
            );
        when 'policy' then
            return auto_backup.schema_policy(object);
        when 'collation' then
            return auto_backup.schema_collation(object);
        when 'text search' then
            return auto_backup.schema_text_search(object);
        else
            return null;
    end case;
end
$body$;
