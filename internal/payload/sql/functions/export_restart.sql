-- Begins an export again, from freezing on: what was stored of it is abandoned. With
-- `frozen`, only that of the tables that are frozen, whose rows were lost.
create or replace function auto_backup.export_restart(export bigint, frozen boolean)
returns void
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
begin
    update auto_backup.export_objects o
    set state = 'abandoned'
    from auto_backup.exports e
    where e.export_id = export_restart.export and o.export_id = e.export_id and o.state <> 'abandoned'
    and (
        not frozen or (o.kind = 'rows' and exists (
            select from jsonb_array_elements(e.tables) t where (t.value ->> 'no')::integer = o.table_no and not t.value ? 'key'
        ))
    );
    delete from auto_backup.frozen f where f.export_id = export_restart.export;
    update auto_backup.exports e
    set
        stage = 'freeze', manifest = null,
        tables = case when frozen then (
            select jsonb_agg(case when t.value ? 'key' then t.value else t.value - 'total' end order by t.place)
            from jsonb_array_elements(e.tables) with ordinality as t (value, place)
        ) end
    where e.export_id = export_restart.export;
end
$body$;
