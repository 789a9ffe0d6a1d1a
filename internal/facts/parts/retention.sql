-- name: retention
-- The backups of the run history that a retention counts, and how often one is made.
-- Columns of younger versions are read as of JSON.
-- kind: query
-- of: backup
-- needs: auto_backup.runs (backup, state, finished_at, backup_id)
-- needs: auto_backup.drills (backup, state, backup_id)
-- parameters: backup, at
select jsonb_build_object(
    'times', jsonb_agg(r.finished_at order by r.finished_at) filter (where to_jsonb(r) ->> 'removed_at' is null),
    'restored', max(r.finished_at) filter (where to_jsonb(r) ->> 'removed_at' is null and exists (
        select from auto_backup.drills d
        where d.backup = r.backup and d.backup_id = r.backup_id and d.state = 'successful'
    )),
    'first', min(r.finished_at),
    'recent', count(*) filter (where r.finished_at > coalesce(:'at'::timestamptz, now()) - interval '28 days')
)
from auto_backup.runs r
where r.backup = :'backup' and r.state = 'succeeded' and r.backup_id is not null
and r.finished_at <= coalesce(:'at'::timestamptz, now())
