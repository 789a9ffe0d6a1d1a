-- What an export needs next: in the stage "rows" {"table", "part", "after"}, in the
-- stage "schema" {"section", "part"}, otherwise {}. Null says that the stage is complete.
create or replace function auto_backup.export_next(export auto_backup.exports)
returns jsonb
language sql
stable
set search_path = ''
as $body$
    select case export.stage
        when 'rows' then (
            select jsonb_build_object('table', n.no, 'part', coalesce(o.part, 0) + 1, 'after', o.last)
            from jsonb_array_elements(export.tables) t
            cross join lateral (select (t.value ->> 'no')::integer as no) as n
            left join lateral (
                select o.part, o.last, o.final
                from auto_backup.export_objects o
                where o.export_id = export.export_id and o.kind = 'rows' and o.table_no = n.no and o.state = 'stored'
                order by o.part desc
                limit 1
            ) as o on true
            where o.final is not true
            order by n.no
            limit 1
        )
        when 'schema' then (
            select jsonb_build_object('section', s.section, 'part', s.part)
            from (values ('before', 1), ('after', 2)) as s (section, part)
            where not exists (
                select from auto_backup.export_objects o
                where o.export_id = export.export_id and o.kind = 'schema' and o.part = s.part and o.state = 'stored'
            )
            order by s.part
            limit 1
        )
        else '{}'
    end
$body$;
