-- name: log_checks
-- Each CHECK of the log tables, evaluated with the rows that the Edge Function
-- writes: the text of a CHECK changes by a dump and restore, its meaning does not.
-- "admits" is about the row of a run that begins, "admits_all" also about the other
-- one. What is not certain is admitted: a CHECK is not evaluated if it needs anything
-- but PostgreSQL's own functions, operators and types, or if the table has a column of
-- a domain, whose own CHECKs would be evaluated with it, as that would run code of
-- others as the role that reads, or could fail; nor is one about a column that the row
-- leaves to its default. "skipped" says that the first is the reason.
-- kind: text
-- wants: public.backup_logs, public.system_logs
select
    'select jsonb_agg(c) from (values (null::jsonb)'
    || coalesce(string_agg(
        format(
            $q$, ((
                select jsonb_build_object(
                    'table', %L::text, 'name', %L::text, 'definition', %L::text, 'skipped', %L::boolean,
                    'admits', bool_and(s.admits) filter (where s.number = 1), 'admits_all', bool_and(s.admits)
                )
                from (
                    select w.number, coalesce((select %s from jsonb_populate_record(null::%s, w.row)), true) as admits
                    from (values (1, %L::jsonb), (2, %L::jsonb)) as w (number, row)
                ) as s
            ))$q$,
            split_part(l.relation, '.', 2), k.conname, pg_get_constraintdef(k.oid), judged.foreign_code,
            case when judged.so then pg_get_expr(k.conbin, k.conrelid) else 'true' end, l.relation, sample.one, sample.two
        ), '' order by l.relation, k.conname
    ), '')
    || ') as t (c) where c is not null'
from probed l
inner join pg_constraint k on k.conrelid = l.oid and k.contype = 'c'
-- A column that cannot hold its value is left out: another check names it.
cross join lateral (
    select coalesce(jsonb_object_agg(a.attname, v.one), '{}') as one, coalesce(jsonb_object_agg(a.attname, v.two), '{}') as two
    from (
        values
        ('backup_logs', 'id', '"00000000-0000-0000-0000-000000000000"'::jsonb, '"00000000-0000-0000-0000-000000000000"'::jsonb, '{uuid,text,varchar}'::name[]),
        ('backup_logs', 'action_type', '"auto_backup"', '"auto_backup"', '{text,varchar}'),
        ('backup_logs', 'created_at', to_jsonb(now()), to_jsonb(now()), '{timestamptz,timestamp}'),
        ('backup_logs', 'records_affected', '0', '1', '{int4,int8,numeric}'),
        ('backup_logs', 'details', '"Backup automático"', '"Backup automático"', '{text,varchar}'),
        ('backup_logs', 'success', 'false', 'true', '{bool}'),
        ('system_logs', 'type', '"auto_backup"', '"auto_backup_error"', '{text,varchar}'),
        ('system_logs', 'message', '"Backup automático"', '"Backup automático"', '{text,varchar}'),
        ('system_logs', 'context', '{"reported_by": "function"}', '{"reported_by": "function"}', '{json,jsonb}')
    ) as v (relation, name, one, two, types)
    inner join pg_attribute a on a.attrelid = k.conrelid and a.attname = v.name and not a.attisdropped
    inner join pg_type t on t.oid = a.atttypid and t.typname = any(v.types)
    where 'public.' || v.relation = l.relation
    and (t.typname <> 'varchar' or a.atttypmod = -1 or a.atttypmod - 4 >= length(v.two #>> '{}'))
) as sample
cross join lateral (
    select
        g.foreign_code,
        not g.foreign_code
        and not exists (
            select from unnest(k.conkey) as n (number)
            inner join pg_attribute a on a.attrelid = k.conrelid and a.attnum = n.number
            where (a.atthasdef or a.attidentity <> '') and not sample.one ? a.attname::text
        ) as so
    from (
        -- What PostgreSQL itself has is not in pg_depend.
        select exists (
            select from pg_depend d
            where d.classid = 'pg_constraint'::regclass and d.objid = k.oid and d.refclassid <> 'pg_class'::regclass
        )
        or exists (
            select from pg_attribute a
            inner join pg_type t on t.oid = a.atttypid and t.typtype = 'd'
            where a.attrelid = k.conrelid and a.attnum > 0 and not a.attisdropped
        ) as foreign_code
    ) as g
) as judged
where l.usable
