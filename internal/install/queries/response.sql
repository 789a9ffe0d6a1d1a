-- What became of the probe $2 of the backup $1, as auto_backup.probe or
-- auto_backup.offsite_probe describes it: its
-- answer, or null while there is none, and whether and behind what it waits. Of
-- several answers the one counts that the function has signed. Whether the worker
-- runs is null where the reading role cannot see it.
select jsonb_build_object(
    'answer', (
        select jsonb_build_object(
            'status', r.status_code, 'error', r.error_msg,
            -- Any role may write there, so what is large is not read.
            'content', case when pg_column_size(r.content) <= 16384 then left(r.content, 8000) end,
            'signed', s.signed,
            'error_code', (
                select h.value from jsonb_each_text(r.headers) as h where lower(h.key) = 'sb-error-code' limit 1
            ),
            'ours', exists (select from jsonb_each_text(r.headers) as h where lower(h.key) = 'x-backup-function')
        )
        from net._http_response r
        cross join lateral (
            select auto_backup.is_probe_answer($1::text, ($2::text)::jsonb, r.content) as signed
        ) as s
        where r.id = (($2::text)::jsonb ->> 'id')::bigint
        order by s.signed desc, r.created desc
        limit 1
    ),
    'queued', exists (select from net.http_request_queue q where q.id = (($2::text)::jsonb ->> 'id')::bigint),
    'ahead', (select count(*) from net.http_request_queue q where q.id < (($2::text)::jsonb ->> 'id')::bigint),
    'worker', case
        when pg_has_role('pg_read_all_stats', 'usage') then exists (
            select from pg_stat_activity a
            where a.application_name like 'pg\_net %' or a.backend_type like 'pg\_net%'
        )
    end
) as result
