-- Restores the tables of a drill into temporary ones and judges each: whether its rows
-- fit the live table as it is now, and what they have lost. It runs with the rights of
-- the role auto_backup_agent, which has none, because defaults, generated columns,
-- domains, CHECKs and indexes can call code of other roles. Its caller reads nothing
-- that it leaves, and rolls everything back.
--
-- No message of PostgreSQL is kept, because it can contain values of a row.
--
-- It is dropped first, because postgres may not replace a function of another role.
drop function if exists auto_backup.drill_restore(jsonb, timestamptz);
create or replace function auto_backup.drill_restore(layouts jsonb, deadline timestamptz)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    fatal constant text[] := array['40%', '53%', '55P03', '58%']; -- see drill_rehearse
    most constant bigint := 10000;
    -- Code that a restore calls could lead names to functions and operators of its own, and
    -- so hide what is found. Nothing is looked up between such a call and this path.
    path constant text := 'pg_catalog, pg_temp';
    layout jsonb;
    object jsonb;
    questions jsonb;
    tables jsonb := '[]';
    problems jsonb;
    unchecked jsonb;
    lost jsonb;
    raw text;
    restored text;
    targets text;
    fields text;
    left_out text[];
    count bigint;
    compared bigint;
    counts bigint[];
    state text;
    insertion text;
    stack bigint[];
    low bigint;
    high bigint;
    refused text;
    name text;
    nth integer;
begin
    perform pg_catalog.set_config('search_path', path, true);
    for layout in select l.value from jsonb_array_elements(layouts) with ordinality as l (value, place) where not l.value ? 'problem' order by l.place loop
        if clock_timestamp() > deadline then
            raise query_canceled;
        end if;
        problems := '[]';
        unchecked := '[]';
        lost := '[]';
        left_out := '{}';
        compared := null;
        raw := 'pg_temp.drill_copy_' || (layout ->> 'number');
        restored := 'pg_temp.drill_restored_' || (layout ->> 'number');
        begin
            select string_agg(
                format('%I %s', c.value ->> 'name', c.value ->> 'type')
                || coalesce(' collate ' || (c.value ->> 'collation'), '')
                || coalesce(' default ' || (c.value ->> 'default'), '')
                || coalesce(' generated always as (' || (c.value ->> 'generated') || ') stored', ''), ', ' order by c.place
            ) into fields
            from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place);
            execute format('create temporary table %s (auto_backup_row bigint, %s) on commit drop', substring(restored from 9), fields);

            loop
                select
                    string_agg(', ' || quote_ident(c.value ->> 'name'), '' order by c.place),
                    string_agg(
                        ', ' || case
                            when not c.value ? 'copy' then 'r.n'
                            else 'r.c' || (c.value ->> 'number')
                                || case when c.value -> 'bare' <> c.value -> 'copy_bare' then '::' || (c.value ->> 'bare') else '' end
                        end, '' order by c.place
                    )
                into targets, fields
                from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place)
                where (c.value ? 'copy' or c.value ? 'counted') and c.value ->> 'name' <> all (left_out);
                begin
                    execute format('insert into %s (auto_backup_row%s) select r.n%s from %s r', restored, targets, fields, raw);
                    get diagnostics count = row_count;
                    perform pg_catalog.set_config('search_path', path, true);
                    exit;
                exception
                    when others then
                        if sqlstate like any (fatal) or left_out <> '{}' then
                            raise;
                        end if;
                        state := sqlstate;
                end;
                -- What refuses a value? A generated column cannot be computed if the rest is
                -- accepted without it; otherwise each column is asked. What is refused is left
                -- out, so that everything else is examined too.
                name := null;
                for object in select c.value from jsonb_array_elements(layout -> 'columns') c where c.value ? 'generated' loop
                    begin
                        execute format('alter table %s drop column %I', restored, object ->> 'name');
                        execute format('insert into %s (auto_backup_row%s) select r.n%s from %s r', restored, targets, fields, raw);
                        raise exception using errcode = 'AB020';
                    exception
                        when sqlstate 'AB020' then
                            name := object ->> 'name';
                            exit;
                        when others then
                            if sqlstate like any (fatal) then
                                raise;
                            end if;
                    end;
                end loop;
                for object in
                    select c.value from jsonb_array_elements(layout -> 'columns') c
                    where case when name is null then c.value ? 'copy' else c.value ->> 'name' = name end
                loop
                    insertion := case
                        when name is not null then format('insert into %s (auto_backup_row%s) select r.n%s from %s r', restored, targets, fields, raw)
                        else format(
                            'insert into %s (%I) select r.c%s%s from %s r', restored, object ->> 'name', object ->> 'number',
                            case when object -> 'bare' <> object -> 'copy_bare' then '::' || (object ->> 'bare') end, raw
                        )
                    end;
                    -- The rows that it refuses are counted by halves, up to a limit: a row that is
                    -- refused costs a subtransaction.
                    count := 0;
                    stack := array[0, (layout ->> 'rows')::bigint];
                    while cardinality(stack) > 0 and count < most loop
                        low := stack[cardinality(stack) - 1];
                        high := stack[cardinality(stack)];
                        stack := trim_array(stack, 2);
                        begin
                            execute format('%s where r.n > %s and r.n <= %s', insertion, low, high);
                            raise exception using errcode = 'AB020';
                        exception
                            when sqlstate 'AB020' then null;
                            when others then
                                if sqlstate like any (fatal) then
                                    raise;
                                end if;
                                refused := sqlstate;
                                if high - low = 1 or sqlstate like '42%' then
                                    count := count + high - low;
                                else
                                    stack := stack || array[(low + high) / 2, high, low, (low + high) / 2];
                                end if;
                        end;
                    end loop;
                    continue when count = 0;
                    left_out := left_out || (object ->> 'name');
                    problems := problems || jsonb_build_object(
                        'code', case when refused = '42501' then 'drill_refused' else 'drill_type' end,
                        'object', object ->> 'name', 'rows', count, 'sqlstate', refused
                    );
                end loop;
                if name is not null then
                    execute format('alter table %s drop column %I', restored, name);
                    perform pg_catalog.set_config('search_path', path, true);
                end if;
                if left_out = '{}' then
                    problems := problems || jsonb_build_object('code', 'drill_refused', 'object', layout ->> 'live', 'sqlstate', state);
                    exit;
                end if;
            end loop;

            if count <> (layout ->> 'rows')::bigint then
                problems := problems || jsonb_build_object(
                    'code', 'drill_rows_differ', 'object', layout ->> 'live', 'rows', abs((layout ->> 'rows')::bigint - count)
                );
            end if;

            -- Whether each required column has a value, and whether what was restored is what
            -- was stored, in one pass over the rows.
            select
                jsonb_agg(q.value order by q.place),
                string_agg(format('count(*) filter (where %s)', q.value ->> 'condition'), ', ' order by q.place)
            into questions, fields
            from (
                select jsonb_build_object(
                    'code', 'drill_not_null', 'sqlstate', '23502', 'name', c.value ->> 'name', 'condition', format('s.%I is null', c.value ->> 'name')
                ) as value, c.place
                from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place)
                where c.value ? 'required' and c.value ->> 'name' <> all (left_out)
                union all
                select jsonb_build_object(
                    'code', 'drill_rows_differ', 'name', c.value ->> 'name',
                    'condition', format('format(''%%L'', s.%I) is distinct from format(''%%L'', r.c%s)', c.value ->> 'name', c.value ->> 'number')
                ), 10000 + c.place
                from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place)
                where (c.value ? 'copy' or c.value ? 'kept' and left_out = '{}') and c.value -> 'bare' = c.value -> 'copy_bare' and c.value ->> 'name' <> all (left_out)
            ) as q;
            if questions is not null then
                execute format('select array[%s] from %s s inner join %s r on r.n = s.auto_backup_row', fields, restored, raw) into counts;
                perform pg_catalog.set_config('search_path', path, true);
                select problems || coalesce(jsonb_agg(jsonb_build_object(
                    'code', q.value -> 'code', 'object', q.value -> 'name', 'rows', counts[q.place], 'sqlstate', q.value -> 'sqlstate'
                ) order by q.place), '[]') into problems
                from jsonb_array_elements(questions) with ordinality as q (value, place)
                where counts[q.place] > 0;
            end if;

            -- Each CHECK by itself, so that all of them are named.
            for object in select k.value from jsonb_array_elements(layout -> 'checks') k loop
                begin
                    execute format('select count(*) from %s where not (%s)', restored, object ->> 'expression') into count;
                    perform pg_catalog.set_config('search_path', path, true);
                    if count > 0 then
                        problems := problems || jsonb_build_object('code', 'drill_check', 'object', object -> 'name', 'rows', count, 'sqlstate', '23514');
                    end if;
                exception
                    when others then
                        if sqlstate like any (fatal) then
                            raise;
                        end if;
                        unchecked := unchecked || (object -> 'name');
                end;
            end loop;

            nth := 0;
            for object in select k.value from jsonb_array_elements(layout -> 'keys') k loop
                nth := nth + 1;
                begin
                    name := format('drill_key_%s_%s', layout ->> 'number', nth);
                    execute case
                        when object ? 'constraint' then format('alter table %s add constraint %s %s', restored, name, object ->> 'constraint')
                        else format('create unique index %s on %s%s', name, restored, object ->> 'index')
                    end;
                    perform pg_catalog.set_config('search_path', path, true);
                exception
                    when unique_violation or exclusion_violation then
                        state := sqlstate;
                        count := null;
                        begin
                            execute format(
                                'select sum(d.n - 1)::bigint from (select count(*) as n from %1$s where (%2$s) and (%4$s or num_nulls(%3$s) = 0) group by %3$s having count(*) > 1) d',
                                restored, coalesce(object ->> 'predicate', 'true'), object ->> 'columns', object ->> 'nulls'
                            ) into count;
                            perform pg_catalog.set_config('search_path', path, true);
                        exception
                            when others then
                                if sqlstate like any (fatal) then
                                    raise;
                                end if;
                        end;
                        problems := problems || jsonb_strip_nulls(jsonb_build_object(
                            'code', 'drill_unique', 'object', object ->> 'name', 'rows', count, 'sqlstate', state
                        ));
                    when not_null_violation then null; -- counted above
                    when others then
                        if sqlstate like any (fatal) then
                            raise;
                        end if;
                        unchecked := unchecked || (object -> 'name');
                end;
            end loop;

            if layout ? 'compared' and left_out = '{}' then
                select string_agg(
                    format('count(*) filter (where pg_catalog.hashtextextended(format(''%%L'', s.%I), 0) is distinct from d.digests[%s])', c.value ->> 'name', c.place), ', ' order by c.place
                ) into fields
                from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place);
                execute format(
                    'select count(*), array[%s] from %s s inner join pg_temp.drill_live_%s d on d.n = s.auto_backup_row',
                    fields, restored, layout ->> 'number'
                ) into compared, counts;
                perform pg_catalog.set_config('search_path', path, true);
                for object, nth in
                    select c.value, c.place
                    from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place)
                    where counts[c.place] > 0
                    order by c.place
                loop
                    execute format('select count(distinct format(''%%L'', s.%I)) from %s s', object ->> 'name', restored) into count;
                    perform pg_catalog.set_config('search_path', path, true);
                    lost := lost || jsonb_build_object(
                        'name', object -> 'name', 'rows', counts[nth],
                        'reason', case
                            when not object ?| array['copy', 'generated'] then 'not_copied'
                            when count = 1 and (layout ->> 'rows')::bigint > 1 then 'constant'
                            when object ? 'retyped' then 'type'
                            when (layout -> 'triggered')::boolean and not object ? 'generated' then 'trigger'
                            else 'changed'
                        end
                    );
                end loop;
            end if;
        exception
            when others then
                if sqlstate like any (fatal) then
                    raise;
                end if;
                problems := problems || jsonb_build_object('code', 'drill_refused', 'object', layout ->> 'live', 'sqlstate', sqlstate);
        end;
        tables := tables || jsonb_strip_nulls(jsonb_build_object(
            'number', layout -> 'number', 'problems', problems, 'unchecked', unchecked, 'columns_lost', lost, 'compared', compared
        ));
    end loop;
    return jsonb_build_object('tables', tables);
exception
    -- Of what is undone here only variables are left.
    when query_canceled then
        return jsonb_build_object('tables', tables, 'canceled', true);
end
$body$;
