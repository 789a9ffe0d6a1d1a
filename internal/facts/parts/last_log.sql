-- name: last_log
-- The application's own word for its backups, for one that keeps no run history.
-- kind: query
-- needs: public.backup_logs (id, action_type, created_at, records_affected, details, success)
-- parameters: at
select jsonb_build_object('newest', n.d, 'success', s.d)
from (values (1)) as one (row)
left join lateral (
    select jsonb_build_object('at', l.created_at, 'success', l.success, 'records', l.records_affected, 'details', left(l.details, 1000)) as d
    from public.backup_logs l where l.action_type::text = 'backup' and l.created_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
    order by l.created_at desc limit 1
) as n on true
left join lateral (
    select jsonb_build_object('at', l.created_at, 'success', l.success, 'records', l.records_affected, 'details', left(l.details, 1000)) as d
    from public.backup_logs l where l.action_type::text = 'backup' and l.success::text = 'true'
    and l.created_at <= coalesce(:'at'::timestamptz, now()) + interval '1 minute'
    order by l.created_at desc limit 1
) as s on true
