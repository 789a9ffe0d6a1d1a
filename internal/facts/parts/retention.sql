-- name: retention
-- The backups of the run history that a retention counts, and how often one is made.
-- The times of all of them are only asked for where a retention is planned or in force.
-- Versions without retention have no column removed_at.
-- kind: text
-- of: backup
-- needs: auto_backup.runs (backup, state, finished_at, backup_id)
-- needs: auto_backup.drills (backup, state, backup_id)
-- needs: auto_backup.settings (backup, document)
-- parameters: backup, at, planning
select format(
    $q$
        with asked as (
            select %4$L or exists (
                select from auto_backup.settings s
                where s.backup = %1$L and coalesce(s.document -> 'retention', 'null') <> 'null'
            ) as times
        )

        select jsonb_build_object(
            'times', case when asked.times then (
                select jsonb_agg(r.finished_at order by r.finished_at)
                from auto_backup.runs r
                where r.backup = %1$L and r.state = 'succeeded' and r.backup_id is not null and r.finished_at <= %2$L::timestamptz and %3$s
            ) end,
            'restored', case when asked.times then (
                select max(r.finished_at)
                from auto_backup.runs r
                where r.backup = %1$L and r.state = 'succeeded' and r.finished_at <= %2$L::timestamptz and %3$s
                and r.backup_id in (select d.backup_id from auto_backup.drills d where d.backup = %1$L and d.state = 'successful')
            ) end,
            'first', (
                select min(r.finished_at)
                from auto_backup.runs r
                where r.backup = %1$L and r.state = 'succeeded' and r.backup_id is not null and r.finished_at <= %2$L::timestamptz
            ),
            'last', (
                select max(r.finished_at)
                from auto_backup.runs r
                where r.backup = %1$L and r.state = 'succeeded' and r.backup_id is not null and r.finished_at <= %2$L::timestamptz and %3$s
            ),
            'recent', (
                select count(*)
                from auto_backup.runs r
                where r.backup = %1$L and r.state = 'succeeded' and r.backup_id is not null
                and r.finished_at > %2$L::timestamptz - interval '28 days' and r.finished_at <= %2$L::timestamptz
            )
        )
        from asked
    $q$,
    :'backup', coalesce(:'at'::timestamptz, now()),
    case
        when exists (
            select from probed p
            inner join pg_attribute a on a.attrelid = p.oid and a.attname = 'removed_at' and not a.attisdropped
            where p.relation = 'auto_backup.runs'
        ) then 'r.removed_at is null'
        else 'true'
    end,
    :'planning'::text is not null
)
