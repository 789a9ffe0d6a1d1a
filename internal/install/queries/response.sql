-- What became of the pg_net request with the id $1: its answer, or null while
-- there is none, and whether and behind what it waits. Whether the worker runs is
-- null where the reading role cannot see it.
select jsonb_build_object(
    'answer', (
        select jsonb_build_object(
            'status', r.status_code, 'error', r.error_msg, 'content', left(r.content, 2000),
            'error_code', (
                select h.value from jsonb_each_text(r.headers) as h where lower(h.key) = 'sb-error-code' limit 1
            ),
            'ours', exists (select from jsonb_each_text(r.headers) as h where lower(h.key) = 'x-backup-function')
        )
        from net._http_response r
        where r.id = ($1::text)::bigint
        order by r.created desc
        limit 1
    ),
    'queued', exists (select from net.http_request_queue q where q.id = ($1::text)::bigint),
    'ahead', (select count(*) from net.http_request_queue q where q.id < ($1::text)::bigint),
    'worker', case
        when pg_has_role('pg_read_all_stats', 'usage') then exists (
            select from pg_stat_activity a
            where a.application_name like 'pg\_net %' or a.backend_type like 'pg\_net%'
        )
    end
) as result
