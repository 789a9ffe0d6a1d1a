-- name: drills
-- The newest restore drill, and the newest that came to a result.
-- kind: query
-- of: backup
-- needs: auto_backup.drills (drill_id, backup, state, started_at, finished_at, backup_id, made_at, code, error, tables)
-- parameters: backup, at
select jsonb_build_object(
    'latest', (
        select to_jsonb(d) from auto_backup.drills d
        where d.backup = :'backup' and d.started_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
        order by d.started_at desc, d.drill_id desc limit 1
    ),
    'result', (
        select to_jsonb(d) from auto_backup.drills d
        where d.backup = :'backup' and d.started_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute' and d.state <> 'skipped'
        order by d.started_at desc, d.drill_id desc limit 1
    )
)
