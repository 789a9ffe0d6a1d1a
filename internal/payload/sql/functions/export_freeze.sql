-- Keeps the rows of all tables of an export that are not read by a key, as they are at
-- one moment: one statement reads them all, and stops where they get too large: for the
-- time of the copy the database has them twice. Returns {"stage", "next"}, or {"failed"}
-- if that was not possible, which is recorded.
create or replace function auto_backup.export_freeze(export bigint, worker uuid, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
set row_security = off
set datestyle = 'ISO, MDY'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set extra_float_digits = '1'
set bytea_output = 'hex'
set lc_monetary = 'C'
as $body$
#variable_conflict use_variable
declare
    most_bytes constant bigint := 1073741824;
    current auto_backup.exports;
    item record;
    layout jsonb;
    tables jsonb := '[]';
    shown text;
    query text;
begin
    current := auto_backup.export_renew(export_freeze.export, export_freeze.worker, coalesce(export_freeze.at, clock_timestamp()));
    if current.stage <> 'freeze' then
        return auto_backup.export_advance(current.export_id, coalesce(export_freeze.at, clock_timestamp()));
    end if;
    begin
        for item in
            select t.value, t.value ->> 'schema' as schema, t.value ->> 'name' as name
            from jsonb_array_elements(current.tables) with ordinality as t (value, place)
            order by t.place
        loop
            layout := item.value;
            if not layout ? 'key' then
                shown := item.schema || '.' || item.name;
                perform auto_backup.export_lock(item.schema, item.name);
                layout := auto_backup.export_layout((layout ->> 'no')::integer, item.schema, item.name, layout ->> 'source');
                if layout ? 'problem' then
                    perform auto_backup.export_note(current.export_id, layout -> 'problem', coalesce(export_freeze.at, clock_timestamp()));
                    return jsonb_build_object('failed', layout -> 'problem');
                end if;
                -- It may have got a key meanwhile, which changes nothing.
                layout := layout - array['key', 'key_type'];
                query := concat_ws(' union all ', query, format(
                    'select %s, row_number() over (), r.line from (%s) r', layout ->> 'no',
                    auto_backup.export_select(layout, current.backup_id)
                ));
            end if;
            tables := tables || layout;
        end loop;
        delete from auto_backup.frozen f where f.export_id = current.export_id;
        if query is not null then
            shown := null;
            execute format(
                'insert into auto_backup.frozen (export_id, table_no, line_no, line)
                select %s, q.table_no, q.line_no, q.line
                from (
                    select q.*, sum(octet_length(q.line)) over (rows unbounded preceding) as bytes
                    from (%s) as q (table_no, line_no, line)
                ) as q
                where case when q.bytes <= %s then true else auto_backup.export_full() end',
                current.export_id, query, most_bytes
            );
        end if;
    exception
        when query_canceled or others then
            return auto_backup.export_trouble(current.export_id, sqlstate, shown, coalesce(export_freeze.at, clock_timestamp()));
    end;
    update auto_backup.exports e
    set
        claimed_until = coalesce(export_freeze.at, clock_timestamp()) + interval '150 seconds', failures = 0, code = null, sqlstate = null, error = null, http_status = null,
        tables = (
            select jsonb_agg(case when t.value ? 'key' then t.value else t.value || jsonb_build_object('total', (
                select count(*) from auto_backup.frozen f
                where f.export_id = current.export_id and f.table_no = (t.value ->> 'no')::integer
            )) end order by t.place)
            from jsonb_array_elements(tables) with ordinality as t (value, place)
        )
    where e.export_id = current.export_id;
    return auto_backup.export_advance(current.export_id, coalesce(export_freeze.at, clock_timestamp()));
end
$body$;
