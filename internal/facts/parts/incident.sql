-- name: incident
-- The newest incident of which people are to be told.
-- kind: query
-- of: backup
-- needs: auto_backup.incidents (backup, kind, due_at, code, error, opened_at, alert_state, alert_error, alerted_by, recovered_at)
-- parameters: backup, at
select to_jsonb(i) from auto_backup.incidents i
where i.backup = :'backup' and i.alert_state <> 'suppressed'
and i.opened_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
order by i.opened_at desc, i.incident_id desc limit 1
