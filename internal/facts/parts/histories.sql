-- name: histories
-- The names of the backups in the run history, also of those that are not installed.
-- kind: query
-- needs: auto_backup.runs (backup)
select coalesce(jsonb_agg(n.backup order by n.backup), '[]')
from (
    -- One step for each backup, however many runs it has.
    with recursive step (backup) as (
        (select r.backup from auto_backup.runs r order by r.backup limit 1)
        union all
        select (select r.backup from auto_backup.runs r where r.backup > s.backup order by r.backup limit 1)
        from step s
        where s.backup is not null
    )

    select s.backup from step s where s.backup is not null
) as n
