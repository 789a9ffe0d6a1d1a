-- name: offsite
-- The copies outside the project, of each destination that the settings have: what was
-- stored there at its present address. Without a destination no other table is read.
-- kind: query
-- of: backup
-- needs: auto_backup.settings (backup, document)
-- needs: auto_backup.exports (export_id, backup, destination, address, backup_id, made_at, state, stage, opened_at, calls, failures, next_at, code, sqlstate, error, http_status, retryable, failed_at, rows, raw_bytes, bytes, manifest_key, manifest_sha256, sequence, completed_at)
-- needs: auto_backup.export_objects (export_id, state, locked_until)
-- needs: auto_backup.export_checks (check_id, backup, destination, address, state, started_at, finished_at, objects, problems, code, error, http_status)
-- needs: auto_backup.runs (backup, state, requested_at, finished_at, backup_id)
-- parameters: backup, at
select jsonb_object_agg(d.key, jsonb_build_object(
    'copy', to_jsonb(c),
    'open', to_jsonb(o),
    'failed', to_jsonb(f),
    'check', to_jsonb(l),
    -- Versions that do not remove backups have no column removed_at.
    'waiting_since', (
        select min(r.finished_at) from auto_backup.runs r
        where r.backup = s.backup and r.state = 'succeeded' and r.backup_id is not null and to_jsonb(r) ->> 'removed_at' is null
        and r.finished_at <= d.at and (c.made_at is null or r.requested_at > c.made_at)
    )
))
from auto_backup.settings s
cross join lateral (
    select
        p.key, coalesce(:'at'::timestamptz, now()) as at,
        concat_ws('/', p.value ->> 'endpoint', p.value ->> 'bucket', nullif(p.value ->> 'prefix', '')) as address
    from jsonb_each(case jsonb_typeof(s.document #> '{offsite,destinations}') when 'object' then s.document #> '{offsite,destinations}' else '{}' end) p
    where jsonb_typeof(p.value) = 'object'
) d
left join lateral (
    select
        e.backup_id, e.made_at, e.completed_at, e.rows, e.raw_bytes, e.bytes, e.manifest_key, e.manifest_sha256, e.sequence,
        (select count(*) from auto_backup.export_objects j where j.export_id = e.export_id and j.state = 'stored') as objects,
        (select min(j.locked_until) from auto_backup.export_objects j where j.export_id = e.export_id and j.state = 'stored') as locked_until
    from auto_backup.exports e
    where e.backup = s.backup and e.destination = d.key and e.address = d.address and e.state = 'complete' and e.completed_at <= d.at
    order by e.completed_at desc, e.export_id desc limit 1
) c on true
left join lateral (
    select
        e.backup_id, e.made_at, e.stage, e.opened_at, e.calls, e.failures, e.retryable, e.failed_at, e.next_at, e.code, e.sqlstate, e.error, e.http_status
    from auto_backup.exports e
    where e.backup = s.backup and e.destination = d.key and e.address = d.address and e.state = 'open' and e.opened_at <= d.at
    limit 1
) o on true
left join lateral (
    select e.backup_id, e.made_at, e.opened_at, e.failures, e.failed_at, e.code, e.sqlstate, e.error, e.http_status
    from auto_backup.exports e
    where e.backup = s.backup and e.destination = d.key and e.address = d.address and e.state = 'failed' and e.opened_at <= d.at
    order by e.opened_at desc, e.export_id desc limit 1
) f on true
left join lateral (
    select k.state, k.started_at, k.finished_at, k.objects, case jsonb_typeof(k.problems) when 'array' then k.problems end as problems, k.code, k.error, k.http_status
    from auto_backup.export_checks k
    where k.backup = s.backup and k.destination = d.key and k.address = d.address and k.state <> 'open' and k.finished_at <= d.at
    order by k.started_at desc, k.check_id desc limit 1
) l on true
where s.backup = :'backup'
