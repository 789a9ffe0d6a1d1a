-- A query of the rows of one table of an export, each as one line of JSON: every value
-- is the text that PostgreSQL prints, or null. No cast of a column's type runs, and no
-- operator: format() calls output functions alone. With `after` and `most` it reads rows
-- by the key, in its order.
create or replace function auto_backup.export_select(layout jsonb, backup_id uuid, after text default null, most integer default null)
returns text
language sql
stable
set search_path = ''
as $body$
    select format(
        'select %s as k, pg_catalog.row_to_json(auto_backup_line.*)::text as line from (select %s from %I.%I b%s%s) b cross join lateral (select %s) as auto_backup_line%s',
        case when most is null then 'null::text' else format('b.%I::text', layout ->> 'key') end,
        c.names, layout ->> 'schema', layout ->> 'name',
        case when layout ->> 'source' = 'stored' then format(' where b.backup_id = %L', backup_id) else '' end
        || case when after is not null then format(' and b.%I > %L::%s', layout ->> 'key', after, layout ->> 'key_type') else '' end,
        case when most is not null then format(' order by b.%I limit %s', layout ->> 'key', most) else '' end,
        c.texts,
        case when most is not null then format(' order by b.%I', layout ->> 'key') else '' end
    )
    from (
        select
            string_agg(format('b.%I', c.value ->> 'name'), ', ' order by c.place) as names,
            -- A row whose fields are null is not null itself, but "is not null" says so.
            string_agg(format('case when b.%1$I is distinct from null then pg_catalog.format(''%%s'', b.%1$I) end as %1$I', c.value ->> 'name'), ', ' order by c.place) as texts
        from jsonb_array_elements(layout -> 'columns') with ordinality as c (value, place)
    ) as c
$body$;
