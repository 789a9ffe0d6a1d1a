-- What a restore drill has found that the backup does not keep: columns, and live rows
-- of a table, each with its code and its number of rows.
create or replace function auto_backup.drill_losses(drill_id bigint)
returns jsonb
language sql
stable
set search_path = ''
as $body$
    select coalesce(jsonb_agg(l.loss order by l.loss ->> 'code', l.loss ->> 'object'), '[]')
    from (
        select jsonb_build_object('code', 'drill_columns_lost', 'object', (t.value ->> 'table') || '.' || (c.value ->> 'name'), 'rows', c.value -> 'rows') as loss
        from auto_backup.drills d
        cross join jsonb_array_elements(d.tables) t
        cross join jsonb_array_elements(t.value -> 'columns_lost') c
        where d.drill_id = drill_losses.drill_id and t.value ->> 'compared' is not null
        union all
        select jsonb_build_object('code', 'drill_rows_missing', 'object', t.value -> 'table', 'rows', t.value -> 'rows_missing')
        from auto_backup.drills d
        cross join jsonb_array_elements(d.tables) t
        where d.drill_id = drill_losses.drill_id and (t.value ->> 'rows_missing')::bigint > 0
    ) as l
$body$;
