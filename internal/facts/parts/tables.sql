-- name: tables
-- The log tables, and for a plan every table of schema public that the code names,
-- with what only a plan looks at.
-- kind: value
-- with: relation, person, routine
-- parameters: planning
select jsonb_object_agg(r.relname, jsonb_build_object(
    'kind', r.relkind, 'owner', o.rolname, 'rls', r.relrowsecurity, 'force_rls', r.relforcerowsecurity,
    'altered_by_postgres', pg_has_role(p.oid, r.relowner, 'usage'),
    'columns', (
        select jsonb_agg(jsonb_build_object(
            'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'base', t.typname, 'category', t.typcategory,
            'length', case when a.atttypmod > 4 and t.typname in ('varchar', 'bpchar') then a.atttypmod - 4 end,
            'not_null', a.attnotnull or t.typnotnull, 'default', a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
            'generated', a.attgenerated <> '' or a.attidentity = 'a',
            'sequence_closed', case when :'planning' is not null then exists (
                select from pg_depend d
                inner join pg_attrdef x on x.oid = d.objid and d.classid = 'pg_attrdef'::regclass
                inner join pg_class q on q.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
                where x.adrelid = r.oid and x.adnum = a.attnum
                and case when q.relkind = 'S' then not has_sequence_privilege(s.oid, q.oid, 'usage') else false end
            ) end,
            'rights', concat(
                case when has_column_privilege(s.oid, r.oid, a.attnum, 'select') then 'S' end,
                case when has_column_privilege(s.oid, r.oid, a.attnum, 'insert') then 'I' end,
                case when has_column_privilege(s.oid, r.oid, a.attnum, 'update') then 'U' end
            )
        ) order by a.attnum)
        from pg_attribute a
        inner join pg_type t on t.oid = a.atttypid
        where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    ),
    'unique', case when :'planning' is not null then (
        select jsonb_agg(u.columns)
        from (
            select (
                select jsonb_agg(a.attname order by a.attnum)
                from pg_attribute a where a.attrelid = r.oid and a.attnum = any(i.indkey::smallint[])
            ) as columns
            from pg_index i
            where i.indrelid = r.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
        ) as u
    ) end,
    -- By role: S, I, U, D and T for truncate. The function's owner is
    -- "owner" where it works with its owner's rights.
    'rights', (
        select jsonb_object_agg(w.role, concat(
            case when has_table_privilege(w.oid, r.oid, 'select') then 'S' end,
            case when has_table_privilege(w.oid, r.oid, 'insert') then 'I' end,
            case when has_table_privilege(w.oid, r.oid, 'update') then 'U' end,
            case when has_table_privilege(w.oid, r.oid, 'delete') then 'D' end,
            case when has_table_privilege(w.oid, r.oid, 'truncate') then 'T' end
        ))
        from (
            select person.role, person.oid from person
            union all
            (select 'owner', f.proowner from routine f where f.schema = 'public' order by f.required limit 1)
        ) as w
    ),
    -- For which commands a policy lets service_role through at all.
    'policies', case when :'planning' is not null then (
        select string_agg(distinct y.polcmd::text, '')
        from pg_policy y
        where y.polrelid = r.oid and y.polpermissive
        and (y.polroles = '{0}' or s.oid = any(y.polroles))
    ) end,
    'rules', case when :'planning' is not null then (
        select jsonb_agg(w.rulename) from pg_rewrite w where w.ev_class = r.oid and w.ev_type in ('2', '3') and r.relkind in ('r', 'p')
    ) end
))
from relation r
inner join pg_roles o on o.oid = r.relowner
left join person s on s.role = 'service_role'
left join person p on p.role = 'postgres'
where r.detailed
