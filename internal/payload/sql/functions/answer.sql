-- The state of a pg_net request: {"state", and for a response "status", "error",
-- "timed_out", "code", "ours", "body", "at"}. The states:
--   answered   there is a response, or the reason why there is none
--   queued     pg_net has not sent the request, or waits for the response
--   gone       neither: lost in a crash, or deleted by pg_net
--   unknown    pg_net's tables cannot be read
-- After a crash, pg_net's IDs start again. So the response must also be newer than
-- the request, and must not name another run than `marker`, which is in the request's
-- body.
create or replace function auto_backup.answer(request_id bigint, posted_at timestamptz, marker text)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    -- In bytes, as stored. What is compressed can be a hundred times as large, and any
    -- role may write there.
    largest constant integer := 16384;
    smallest constant integer := 2048;
    queued boolean;
    response record;
    headers jsonb;
    body jsonb;
    ours boolean;
begin
    -- pg_net moves a request from the queue to the responses in one transaction. The
    -- queue is read first, so a request that leaves it meanwhile is found as a response,
    -- and a response to a request that is still there is not pg_net's.
    select exists (
        select from net.http_request_queue q
        where q.id = answer.request_id
        and case
            when pg_column_size(q.body) <= smallest then position(convert_to(answer.marker, 'UTF8') in q.body) > 0
        end
    ) into queued;
    if queued then
        return '{"state": "queued"}';
    end if;

    for response in
        select
            p.status_code, p.timed_out, left(p.error_msg, 1000) as error_msg, p.created,
            case
                when pg_column_size(p.headers) <= case when pg_column_compression(p.headers) is null then largest else smallest end
                    then p.headers
            end as headers,
            case
                when pg_column_size(p.content) <= case when pg_column_compression(p.content) is null then largest else smallest end
                    then p.content
            end as content
        from net._http_response p
        where p.created >= answer.posted_at - interval '10 seconds'
        and p.created < answer.posted_at + interval '6 hours'
        and p.id = answer.request_id
        order by p.created
        limit 100
    loop
        body := auto_backup.json(response.content);
        continue when body ->> 'run_id' <> answer.marker;
        -- Any role may write there, so how a run ended counts only if it is signed.
        if body ? 'run_id' and jsonb_typeof(body -> 'success') = 'boolean' and not exists (
            select from auto_backup.runs r
            where r.run_id = substring(answer.marker from '^[0-9a-f-]{36}$')::uuid
            and auto_backup.is_signed(
                auto_backup.keys(r.backup, r.posted_at),
                auto_backup.outcome(case body ->> 'success' when 'true' then 'auto_backup' else 'auto_backup_error' end, body),
                body ->> 'signature'
            )
        ) then
            body := body - 'success';
        end if;
        headers := case when jsonb_typeof(response.headers) = 'object' then response.headers else '{}' end;
        ours := exists (select from jsonb_each_text(headers) h where lower(h.key) = 'x-backup-function');
        return jsonb_build_object(
            'state', 'answered',
            'status', response.status_code,
            'error', auto_backup.plain(response.error_msg),
            -- Before pg_net 0.19.6, timed_out is null for every error.
            'timed_out', coalesce(response.timed_out, false) or coalesce(response.error_msg ilike 'timeout%', false),
            -- Only a code of an unknown server's text is kept, because anybody can read the logs.
            'code', substring(coalesce(
                case when ours then body ->> 'code' end,
                (select h.value from jsonb_each_text(headers) h where lower(h.key) = 'sb-error-code' limit 1),
                body ->> 'code'
            ) from '^[A-Za-z][A-Za-z0-9_.-]{0,59}$'),
            'ours', ours,
            'body', body,
            'at', response.created
        );
    end loop;
    return '{"state": "gone"}';
exception
    when others then
        return jsonb_build_object('state', 'unknown', 'error', auto_backup.plain(sqlerrm));
end
$body$;
