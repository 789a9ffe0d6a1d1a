-- Rows of one table of an export, after the key or number `after`: first a JSON header
-- {"rows", "last", "more", "digest"}, then so many lines, at most 2,000 and about 2 MB.
-- If the rows cannot be read, which is recorded, the header is {"failed"}.
create or replace function auto_backup.export_page(export bigint, worker uuid, table_no integer, after text, at timestamptz default null)
returns setof text
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
    most_rows constant integer := 2000;
    most_bytes constant integer := 2097152;
    moment constant timestamptz := coalesce(export_page.at, clock_timestamp());
    current auto_backup.exports;
    layout jsonb;
    found jsonb;
    shown text;
    query text;
    row record;
    lines text[] := '{}';
    bytes bigint := 0;
    last text := nullif(export_page.after, '');
    digest numeric := 0;
    more boolean := false;
    total bigint;
begin
    current := auto_backup.export_renew(export_page.export, export_page.worker, moment);
    select t.value into layout from jsonb_array_elements(current.tables) t where (t.value ->> 'no')::integer = export_page.table_no;
    if current.stage <> 'rows' or layout is null then
        raise exception 'auto_backup: export % has no rows to read of table % now', export_page.export, export_page.table_no using errcode = 'AB031';
    end if;
    shown := (layout ->> 'schema') || '.' || (layout ->> 'name');
    begin
        if layout ? 'key' then
            perform auto_backup.export_lock(layout ->> 'schema', layout ->> 'name');
            found := auto_backup.export_layout(export_page.table_no, layout ->> 'schema', layout ->> 'name', layout ->> 'source');
            if found ? 'problem' then
                perform auto_backup.export_note(current.export_id, found -> 'problem', moment);
                return next jsonb_build_object('failed', found -> 'problem')::text;
                return;
            elsif found - 'total' <> layout - 'total' then
                raise undefined_column;
            end if;
            query := auto_backup.export_select(layout, current.backup_id, last, most_rows + 1);
        else
            -- Its lines are numbered without a gap. Nobody has analyzed them yet, so without
            -- an end the planner would sort all that are left for every page.
            query := format(
                'select f.line_no::text as k, f.line from auto_backup.frozen f where f.export_id = %s and f.table_no = %s and f.line_no between %s and %s order by f.line_no',
                current.export_id, export_page.table_no, coalesce(last, '0')::bigint + 1, coalesce(last, '0')::bigint + most_rows + 1
            );
        end if;
        for row in execute query loop
            if cardinality(lines) >= most_rows or (cardinality(lines) > 0 and bytes + octet_length(row.line) > most_bytes) then
                more := true;
                exit;
            end if;
            lines := lines || row.line;
            bytes := bytes + octet_length(row.line) + 1;
            last := row.k;
            digest := digest + ('x' || substr(md5(row.line), 1, 16))::bit(64)::bigint;
        end loop;
        if layout ? 'key' and not more then
            execute format('select count(*) from %I.%I b where b.backup_id = %L', layout ->> 'schema', layout ->> 'name', current.backup_id) into total;
        end if;
    exception
        when query_canceled or others then
            return next auto_backup.export_trouble(current.export_id, sqlstate, shown, moment)::text;
            return;
    end;

    if not layout ? 'key' and not more and coalesce(last, '0')::bigint <> (layout ->> 'total')::bigint then
        perform auto_backup.export_restart(current.export_id, true);
        perform auto_backup.export_note(current.export_id, jsonb_build_object('code', 'offsite_frozen_lost', 'at_once', true), moment);
        return next '{"failed": {"code": "offsite_frozen_lost", "retry": true}}';
        return;
    end if;
    if total is not null then
        update auto_backup.exports e
        set tables = (
            select jsonb_agg(case when (t.value ->> 'no')::integer = export_page.table_no then t.value || jsonb_build_object('total', total) else t.value end order by t.place)
            from jsonb_array_elements(e.tables) with ordinality as t (value, place)
        )
        where e.export_id = current.export_id;
    end if;
    if lines = '{}' and export_page.after <> '' then
        -- There were more rows when the part before was read.
        perform auto_backup.export_end(current.export_id, jsonb_build_object('code', 'offsite_rows_gone', 'message', shown), moment);
        return next '{"failed": {"code": "offsite_rows_gone", "retry": false}}';
        return;
    end if;
    return next jsonb_build_object('rows', cardinality(lines), 'last', last, 'more', more, 'digest', digest::text)::text;
    return query select l.line from unnest(lines) with ordinality as l (line, place) order by l.place;
end
$body$;
