-- The restore drills of a backup for people, the newest first:
--   select * from auto_backup.drill_history('auto-backup')
-- It names tables and columns, with numbers of rows; never the value of a row.
create or replace function auto_backup.drill_history(backup text)
returns table (
    drill_id bigint, started_at timestamptz, duration interval, trigger text, state text, what_happened text, what_to_do text,
    would_lose text, backup_id uuid, made_at timestamptz, tables integer, rows bigint, code text, error text, sqlstate text
)
language sql
stable
set search_path = ''
as $body$
    select
        d.drill_id,
        d.started_at,
        date_trunc('milliseconds', d.finished_at - d.started_at),
        d.trigger,
        d.state,
        case
            when d.state = 'successful' then format(
                'The backup can be restored: %s rows of %s tables%s.', f.rows, f.tables, case when f.sampled then ', of the largest ones a sample' else '' end
            )
            else concat_ws(' ', coalesce(c.meaning, d.code), '(' || d.error || ')') || '.'
        end,
        c.remedy,
        f.lost,
        d.backup_id,
        d.made_at,
        f.tables,
        f.rows,
        d.code,
        d.error,
        d.sqlstate
    from auto_backup.drills d
    left join lateral auto_backup.lookup(d.code, d.sqlstate) as c on d.code is not null
    cross join lateral (
        select
            count(*)::integer as tables,
            coalesce(sum((t.value ->> 'rows')::bigint), 0)::bigint as rows,
            coalesce(bool_or((t.value ->> 'sampled')::boolean), false) as sampled,
            string_agg(concat_ws(
                ', ',
                l.columns,
                case when (t.value ->> 'rows_missing')::bigint > 0 then format('%s: %s rows', t.value ->> 'table', t.value ->> 'rows_missing') end
            ), ', ' order by t.place) filter (where l.columns is not null or (t.value ->> 'rows_missing')::bigint > 0) as lost
        from jsonb_array_elements(d.tables) with ordinality as t (value, place)
        cross join lateral (
            select string_agg(
                format('%s.%s: %s values (%s)', t.value ->> 'table', l.value ->> 'name', l.value ->> 'rows', replace(l.value ->> 'reason', '_', ' ')), ', '
                order by l.place
            ) as columns
            from jsonb_array_elements(t.value -> 'columns_lost') with ordinality as l (value, place)
        ) as l
    ) as f
    where d.backup = drill_history.backup
    order by d.started_at desc, d.drill_id desc
$body$;
