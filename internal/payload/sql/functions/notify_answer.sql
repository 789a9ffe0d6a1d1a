-- What became of the pg_net request of a message: {"state", and for a response "status",
-- "redirected" and "error"}, with the states of auto_backup.answer. Nothing that the
-- receiver wrote is in it. Every role can write pg_net's responses, so of the reason for
-- one that failed only plain words are kept, as libcurl has them.
create or replace function auto_backup.notify_answer(request_id bigint, posted_at timestamptz, message_id uuid)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    answer jsonb;
begin
    -- The queue first; see auto_backup.answer.
    if exists (
        select from net.http_request_queue q
        where q.id = request_id
        and case when pg_column_size(q.headers) <= 2048 then q.headers ->> 'webhook-id' = message_id::text end
    ) then
        return '{"state": "queued"}';
    end if;
    select jsonb_build_object(
        'state', 'answered',
        'status', p.status_code,
        -- pg_net follows redirects, and most of them make a GET without a body of a POST. As
        -- of 0.20 it stores the headers of the first response with the status of the last.
        'redirected', coalesce(
            p.status_code between 200 and 299
            -- These may say where to look what became of the request.
            and p.status_code not in (201, 202)
            and case
                when pg_column_size(p.headers) <= 16384 and jsonb_typeof(p.headers) = 'object'
                    then exists (select from jsonb_object_keys(p.headers) as k where lower(k) = 'location')
            end, false
        ),
        'error', case
            when p.status_code is not null then 'HTTP ' || p.status_code
            -- Before pg_net 0.19.6, timed_out is null for every error.
            when p.timed_out or p.error_msg ilike 'timeout%' then 'no answer within 5 seconds'
            when length(p.error_msg) <= 80 and p.error_msg ~ '^(?:[A-Za-z(][A-Za-z(),?''-]{0,15}[.]? ?)+$' then p.error_msg
            else 'no connection'
        end
    ) into answer
    from net._http_response p
    where p.id = request_id
    and p.created >= posted_at - interval '10 seconds' and p.created < posted_at + interval '6 hours'
    order by p.created
    limit 1;
    return coalesce(answer, '{"state": "gone"}');
exception
    when others then
        return '{"state": "unknown"}';
end
$body$;
