-- name: processes
-- Which of the processes run on which a backup depends. A role without
-- pg_read_all_stats sees application_name of every process, but backend_type of
-- its own only.
-- kind: value
select jsonb_build_object(
    'pg_cron', coalesce(bool_or(a.application_name = 'pg_cron scheduler' or a.backend_type = 'pg_cron launcher'), false),
    'pg_net', coalesce(bool_or(a.application_name like 'pg\_net %' or a.backend_type like 'pg\_net%'), false),
    'background_workers', count(*) filter (
        where a.backend_type not in (
            'client backend', 'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer', 'walwriter',
            'walsender', 'startup', 'archiver', 'walreceiver'
        )
    )
)
from pg_stat_activity a
