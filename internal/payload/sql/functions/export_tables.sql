-- The tables of an export to a destination, as auto_backup.export_layout describes them:
-- {"tables"}, or {"problem"}.
create or replace function auto_backup.export_tables(document jsonb, destination text)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    item record;
    layout jsonb;
    tables jsonb := '[]';
begin
    for item in
        with wanted (source, schema, name, place, within) as (
            select 'stored', t.value #>> '{copy,0}', t.value #>> '{copy,1}', w.place, t.place
            from jsonb_array_elements_text(document #> array['offsite', 'destinations', destination, 'tables']) with ordinality as w (name, place)
            cross join jsonb_array_elements(nullif(document #> '{offsite,tables}', 'null')) with ordinality as t (value, place)
            where w.name = 'stored'
            union all
            select 'live', t.value #>> '{live,0}', t.value #>> '{live,1}', w.place, t.place
            from jsonb_array_elements_text(document #> array['offsite', 'destinations', destination, 'tables']) with ordinality as w (name, place)
            cross join jsonb_array_elements(nullif(document #> '{offsite,tables}', 'null')) with ordinality as t (value, place)
            where w.name = 'live'
            union all
            select 'live', split_part(w.name, '.', 1), substr(w.name, strpos(w.name, '.') + 1), w.place, 0
            from jsonb_array_elements_text(document #> array['offsite', 'destinations', destination, 'tables']) with ordinality as w (name, place)
            where w.name like '%.%'
        )

        select s.source, s.schema, s.name, row_number() over (order by s.place, s.within)::integer as no
        from (select distinct on (w.source, w.schema, w.name) w.* from wanted w order by w.source, w.schema, w.name, w.place, w.within) as s
        order by s.place, s.within
    loop
        perform auto_backup.export_lock(item.schema, item.name);
        layout := auto_backup.export_layout(item.no, item.schema, item.name, item.source);
        if layout ? 'problem' then
            return layout;
        end if;
        tables := tables || layout;
    end loop;
    if tables = '[]' then
        return jsonb_build_object('problem', jsonb_build_object('code', 'offsite_no_tables', 'retry', false));
    end if;
    return jsonb_build_object('tables', tables);
end
$body$;
