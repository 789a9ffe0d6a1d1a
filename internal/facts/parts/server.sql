-- name: server
-- The server and the connection.
-- kind: value
select jsonb_build_object(
    'now', now(),
    'version', current_setting('server_version_num')::integer,
    'in_recovery', pg_is_in_recovery(),
    'user', current_user,
    'database', current_database(),
    -- A role that may create something is one with which an apply is made.
    'writer', has_database_privilege(current_database(), 'create'),
    'sees_processes', pg_has_role('pg_read_all_stats', 'usage')
)
