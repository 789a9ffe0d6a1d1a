-- name: caught_up_at
-- When the watchdog last started a run because its job had not.
-- kind: query
-- of: backup
-- needs: auto_backup.runs (backup, trigger, requested_at)
-- parameters: backup, at
select to_jsonb(max(r.requested_at)) from auto_backup.runs r
where r.backup = :'backup' and r.trigger = 'catch_up' and r.requested_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
