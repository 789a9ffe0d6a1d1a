-- name: parameters
-- Configuration parameters of the server, without what the reading role or database has of its own.
-- That says nothing about others.
-- kind: value
select jsonb_object_agg(s.name, s.reset_val)
from pg_settings s
where s.name in (
    'cron.database_name', 'cron.timezone', 'cron.use_background_workers', 'cron.launch_active_jobs',
    'cron.max_running_jobs', 'max_worker_processes', 'shared_preload_libraries', 'pg_net.database_name'
)
or (s.name in ('statement_timeout', 'default_transaction_read_only') and s.source in ('default', 'configuration file', 'command line', 'override'))
