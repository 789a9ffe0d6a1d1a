-- Restores a backup into temporary tables and rolls everything back. `tables` is
-- drill.tables of the settings, `since` is when the backup was requested, and `most` is
-- how many rows of a table are read. Returns {"tables"}, with "code" and perhaps
-- "sqlstate" and "object" if it ended before it knew: drill_timed_out, drill_canceled,
-- drill_locked, drill_disk_full or drill_refused. No message of PostgreSQL leaves it,
-- because one can contain values of a row.
--
-- First everything is read, as postgres; then auto_backup_agent judges. After that no
-- name is looked up any more, because the agent's code can have made temporary objects
-- that hide others.
create or replace function auto_backup.drill_rehearse(
    tables jsonb, backup_id uuid, since timestamptz, most integer, deadline timestamptz
)
returns jsonb
language plpgsql
set search_path = ''
set row_security = off
as $body$
#variable_conflict use_variable
declare
    -- Deadlocks and locks of others, no space or memory, and files that cannot be read say
    -- nothing about a backup. Any other error is about one table, and is recorded.
    fatal constant text[] := array['40%', '53%', '55P03', '58%'];
    piece constant bigint := 5000;
    layouts jsonb := '[]';
    layout jsonb;
    pair jsonb;
    number integer := 0;
    began timestamptz;
    current text; -- table
    live text;
    copied text;
    columns text;
    matched text;
    untouched text;
    digests text;
    rows bigint;
    missing bigint;
    oldest text; -- transaction of the backup
    checked jsonb;
    judged jsonb;
    ended jsonb := '{}';
    state text;
begin
    begin
        for pair in select t.value from jsonb_array_elements(tables) with ordinality as t (value, place) order by t.place loop
            number := number + 1;
            current := format('%I.%I', pair #>> '{live,0}', pair #>> '{live,1}');
            began := clock_timestamp();
            layout := auto_backup.drill_layout(pair, number);
            if not layout ? 'problem' then
                begin
                    copied := 'drill_copy_' || number;
                    select
                        string_agg(format(', b.%I::%s', coalesce(c.value ->> 'copy', c.value ->> 'kept'), c.value ->> 'copy_bare'), '' order by c.place),
                        string_agg(format(', c%s %s', c.value ->> 'number', c.value ->> 'copy_bare'), '' order by c.place)
                    into live, columns
                    from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place)
                    where c.value ?| array['copy', 'kept'];
                    layout := layout || jsonb_build_object(
                        'filter', format('%I = %L::%s', layout #>> '{backup_column,name}', backup_id, layout #>> '{backup_column,type}')
                    );
                    execute format(
                        'create temporary table %s on commit drop as select row_number() over () as n, r.* from auto_backup.drill_read(%L) as r (x xid%s)',
                        copied,
                        format('select b.xmin%s from %s b where b.%s limit %s', live, layout ->> 'copy', layout ->> 'filter', most::bigint + 1),
                        columns
                    );
                    get diagnostics rows = row_count;
                    -- The rows are compared in pieces.
                    execute format('create index on pg_temp.%s (n)', copied);
                    execute format('analyze pg_temp.%s', copied);
                    execute format('grant select on pg_temp.%s to auto_backup_agent', copied);
                    if oldest is null then
                        execute format('select c.x::text from pg_temp.%s c order by pg_catalog.age(c.x) desc limit 1', copied) into oldest;
                    end if;
                    layout := layout || jsonb_build_object('rows', rows, 'sampled', rows > most);
                exception
                    when others then
                        if sqlstate like any (fatal) then
                            raise;
                        end if;
                        layout := layout || jsonb_build_object('problem', jsonb_build_object(
                            'code', case sqlstate when '42501' then 'drill_unreadable' else 'drill_refused' end, 'object', layout -> 'copy', 'sqlstate', sqlstate
                        ));
                end;
            end if;
            layouts := layouts || (layout || jsonb_build_object('ms', round(1000 * extract(epoch from clock_timestamp() - began))));
            if clock_timestamp() > deadline then
                raise query_canceled;
            end if;
        end loop;

        -- Of an empty backup it is only known when its run ended.
        if oldest is null then
            select r.xmin::text into oldest
            from auto_backup.runs r
            where r.backup_id = drill_rehearse.backup_id and r.state = 'succeeded'
            order by pg_catalog.age(r.xmin) desc
            limit 1;
        end if;

        for layout in select l.value from jsonb_array_elements(layouts) with ordinality as l (value, place) order by l.place loop
            continue when layout ? 'problem';
            number := layout -> 'number';
            current := layout ->> 'live';
            began := clock_timestamp();
            rows := layout -> 'rows';
            if layout -> 'match' <> 'null' then
                select string_agg(concat(
                    format('s.%I %s r.c%s', m.value ->> 'name', m.value ->> 'operator', m.value ->> 'number'), '::' || (m.value ->> 'bare')
                ), ' and ' order by m.place) into matched
                from jsonb_array_elements(layout -> 'match') with ordinality as m (value, place);
                select string_agg(format('pg_catalog.hashtextextended(pg_catalog.format(''%%L'', s.%I), 0)', c.value ->> 'name'), ', ' order by c.place) into digests
                from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place);
                untouched := coalesce(' and coalesce(' || (layout ->> 'since') || format(' <= %L, true)', since), '');
                begin
                    execute format('create temporary table drill_live_%s (n bigint, digests bigint[]) on commit drop', number);
                    for low in 0 .. rows - 1 by piece loop
                        execute format(
                            'insert into pg_temp.drill_live_%s select r.* from auto_backup.drill_read(%L, true) as r (n bigint, digests bigint[])', number,
                            format(
                                'select r.n, array[%s] from pg_temp.drill_copy_%s r inner join %s s on %s where r.n > %s and r.n <= %s and pg_catalog.age(s.xmin) > pg_catalog.age(r.x)%s',
                                digests, number, layout ->> 'live', matched, low, low + piece, untouched
                            )
                        );
                        if clock_timestamp() > deadline then
                            raise query_canceled;
                        end if;
                    end loop;
                    execute format('analyze pg_temp.drill_live_%s', number);
                    execute format('grant select on pg_temp.drill_live_%s to auto_backup_agent', number);
                    layout := layout || '{"compared": true}';
                    if oldest is not null and not (layout -> 'sampled')::boolean and not (layout -> 'filtered')::boolean then
                        execute format(
                            'select r.n from auto_backup.drill_read(%L) as r (n bigint)',
                            format(
                                'select count(*) from (select s.xmin as auto_backup_xmin, s.* from %s s limit %s) s where pg_catalog.age(s.auto_backup_xmin) > pg_catalog.age(%L::pg_catalog.xid)%s and not exists (select from pg_temp.drill_copy_%s r where %s)',
                                layout ->> 'live', most, oldest, untouched, number, matched
                            )
                        ) into missing;
                        layout := layout || jsonb_build_object('rows_missing', missing);
                    end if;
                exception
                    when others then
                        if sqlstate like any (fatal) then
                            raise;
                        end if;
                        layout := layout || jsonb_build_object('unchecked', jsonb_build_array(layout -> 'live'));
                end;
            end if;
            checked := auto_backup.drill_keys(layouts, number);
            layouts := jsonb_set(layouts, array[(number - 1)::text], layout || jsonb_build_object(
                'problems', checked -> 'problems',
                'unchecked', coalesce(layout -> 'unchecked', '[]') || (checked -> 'unchecked'),
                'ms', (layout -> 'ms')::integer + round(1000 * extract(epoch from clock_timestamp() - began))
            ));
        end loop;

        perform auto_backup.drill_open(layouts);
        judged := auto_backup.drill_restore(layouts, deadline);
        raise exception using errcode = 'AB020';
    exception
        when sqlstate 'AB020' then null;
        when query_canceled then
            ended := '{"canceled": true}';
        when lock_not_available or transaction_rollback then
            ended := jsonb_build_object('code', 'drill_locked', 'object', current);
        when insufficient_resources or system_error then
            ended := jsonb_build_object('code', 'drill_disk_full', 'sqlstate', sqlstate);
        when others then
            ended := jsonb_build_object('code', 'drill_refused', 'sqlstate', sqlstate, 'object', current);
    end;
    if ended -> 'canceled' = 'true' or judged -> 'canceled' = 'true' then
        ended := jsonb_build_object('code', case when clock_timestamp() > deadline - interval '1 second' then 'drill_timed_out' else 'drill_canceled' end);
    end if;

    -- What each part has found of each table.
    return ended || jsonb_build_object('tables', coalesce((
        select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'table', l.value -> 'live',
            'copy', l.value -> 'copy',
            'rows', l.value -> 'rows',
            'sampled', l.value -> 'sampled',
            'compared', j.value -> 'compared',
            'rows_missing', l.value -> 'rows_missing',
            'ms', l.value -> 'ms',
            'judged', l.value ? 'problem' or j.value is not null,
            'problems', case when l.value ? 'problem' then jsonb_build_array(l.value -> 'problem') else '[]' end
                || coalesce(l.value -> 'problems', '[]') || coalesce(j.value -> 'problems', '[]'),
            'unchecked', coalesce(l.value -> 'unchecked', '[]') || coalesce(j.value -> 'unchecked', '[]'),
            'columns_lost', coalesce(j.value -> 'columns_lost', '[]')
        )) order by l.place)
        from jsonb_array_elements(layouts) with ordinality as l (value, place)
        left join jsonb_array_elements(judged -> 'tables') j on j.value -> 'number' = l.value -> 'number'
    ), '[]'));
end
$body$;
