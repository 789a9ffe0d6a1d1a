-- Sends a message that is waiting, and returns its state. While its secrets cannot be
-- read, it waits for a day and says why.
create or replace function auto_backup.notify_post(notice_id bigint, at timestamptz)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    notice auto_backup.notices;
    document jsonb;
    plan jsonb;
    key text;
    url text;
    message jsonb;
    body jsonb;
    headers jsonb;
    sent_at text;
    request bigint;
    problem text;
    verdict text;
begin
    select n.* into notice from auto_backup.notices n where n.notice_id = notify_post.notice_id for no key update;
    select s.document into document from auto_backup.settings s where s.backup = notice.backup;
    key := substring(notice.channel from '^webhook/(.*)$');
    plan := case when key is null then document -> 'heartbeat' else document #> array['webhooks', key] end;
    -- A batch of pg_net has no order.
    if notice.event <> 'start' and exists (
        select from auto_backup.notices n
        where n.backup = notice.backup and n.channel = notice.channel and n.notice_id <> notice.notice_id
        and (
            (n.channel = 'heartbeat' and n.state = 'sent')
            or (n.incident_id = notice.incident_id and n.notice_id < notice.notice_id and n.state in ('waiting', 'sent'))
        )
    ) then
        return notice.state;
    end if;

    begin
        url := auto_backup.notify_secret(notice.backup || '/' || notice.channel);
        headers := jsonb_build_object('webhook-id', notice.message_id);
        if key is null then
            message := auto_backup.notify_ping(notice.notice_id, plan ->> 'form', plan ->> 'language');
            url := rtrim(split_part(url, '?', 1), message ->> 'trim') || (message ->> 'path') || coalesce(substring(url from '\?.*$'), '');
            body := message -> 'body';
        else
            body := auto_backup.notify_message(notice.notice_id, plan ->> 'form', plan ->> 'language');
            if (plan -> 'signed')::boolean and plan ->> 'form' = 'generic' then
                sent_at := floor(extract(epoch from clock_timestamp()))::bigint::text;
                headers := headers || jsonb_build_object(
                    'webhook-timestamp', sent_at,
                    -- pg_net sends a jsonb body as PostgreSQL prints it.
                    'webhook-signature', 'v1,' || encode(auto_backup.hmac(
                        convert_to(concat_ws('.', notice.message_id, sent_at, body::text), 'UTF8'),
                        decode(substr(auto_backup.notify_secret(format('%s/webhook-secret/%s', notice.backup, key)), 7), 'base64')
                    ), 'base64')
                );
            end if;
        end if;
        if body is not null then
            headers := headers || '{"Content-Type": "application/json"}';
        end if;
        -- While pg_net waits for an answer, it sends nothing else.
        request := auto_backup.request(url, headers, body, 5000, coalesce(message -> 'params', '{}'));
    exception
        when sqlstate 'AB001' or sqlstate 'AB002' then
            problem := sqlerrm;
        -- The message of another error may contain the URL.
        when others or assert_failure then
            problem := format('the request cannot be made (%s)', sqlstate);
    end;

    verdict := case when problem is null then 'sent' when notify_post.at > notice.happened_at + interval '1 day' then 'not_delivered' else 'waiting' end;
    if problem is null then
        update auto_backup.notices n
        set
            state = verdict, attempts = n.attempts + 1, request_id = request, posted_at = now(), requested_at = notify_post.at,
            error = case when n.attempts > 0 then n.error end
        where n.notice_id = notify_post.notice_id;
    else
        update auto_backup.notices n
        set state = verdict, error = problem, finished_at = case verdict when 'not_delivered' then notify_post.at end
        where n.notice_id = notify_post.notice_id;
    end if;
    return verdict;
end
$body$;
