-- name: stored_backups
-- The backups that the application's tables hold, and whether the last success is
-- among them.
-- kind: text
-- of: backup
-- wants: auto_backup.runs
-- with: stored_table
-- parameters: backup, at
select format(
    $q$
        select jsonb_build_object(
            'count', count(*), 'oldest', min(g.at), 'newest', max(g.at),
            'newest_id', (array_agg(g.id order by g.at desc nulls last))[1],
            'has_last', case when (%3$s) is not null then coalesce(bool_or(g.id = (%3$s)), false) end,
            'bytes', (select sum(pg_total_relation_size(t)) from unnest(%2$L::oid[]) as t),
            'database_bytes', pg_database_size(current_database()), 'tables', %4$L::jsonb
        )
        from (select u.id, max(u.at) as at from (%1$s) as u group by u.id) as g
    $q$,
    string_agg(format(
        case
            -- One step for each stored backup, however many rows it has.
            when g.indexed then $q$
                (
                    with recursive step as (
                        (select b.backup_id as id, b.backup_created_at as at from %1$s b order by b.backup_id limit 1)
                        union all
                        select n.id, n.at
                        from step
                        cross join lateral (
                            select b.backup_id as id, b.backup_created_at as at
                            from %1$s b where b.backup_id > step.id order by b.backup_id limit 1
                        ) as n
                    )

                    select step.id, step.at from step
                )
            $q$
            else '(select b.backup_id as id, max(b.backup_created_at) as at from %1$s b group by b.backup_id)'
        end, g.name
    ), ' union all ' order by g.name),
    array_agg(g.oid order by g.name),
    case
        when bool_or(l.usable) then format(
            $q$
                select s.backup_id from auto_backup.runs s
                where s.backup = %L and s.state = 'succeeded' and s.finished_at <= %L::timestamptz + interval '1 minute'
                order by s.finished_at desc limit 1
            $q$, :'backup', coalesce(:'at'::timestamptz, now())
        )
        else 'null'
    end,
    jsonb_agg(g.name order by g.name)
)
from stored_table g
cross join probed l
where l.relation = 'auto_backup.runs'
having count(*) > 0
