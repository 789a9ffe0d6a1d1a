-- name: settings
-- The settings row of a backup. It is read as a document, because a column may be
-- lost. Older installations have no completed_at; they were finished.
-- kind: query
-- of: backup
-- needs: auto_backup.settings (backup, document, owner, function_id, created_at, updated_at)
-- parameters: backup
select to_jsonb(s) || jsonb_build_object(
    'unfinished', coalesce(to_jsonb(s) -> 'completed_at' = 'null', false)
)
from auto_backup.settings s where to_jsonb(s) ->> 'backup' = :'backup'
