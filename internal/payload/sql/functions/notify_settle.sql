-- Notes what became of a message that was sent, and when it is sent again. Delivered is
-- what was answered with a status from 200 to 299. What may pass is tried eight times in
-- two hours, and what a receiver refuses three times; where it has redirected, it may have
-- got the message, so that is not repeated. Returns the state.
create or replace function auto_backup.notify_settle(notice_id bigint, at timestamptz)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    minutes constant integer[] := array[1, 2, 4, 8, 16, 30, 30];
    notice auto_backup.notices;
    answer jsonb;
    status integer;
    age interval;
    reason text;
    most integer;
    verdict text;
begin
    select n.* into notice from auto_backup.notices n where n.notice_id = notify_settle.notice_id for no key update;
    answer := auto_backup.notify_answer(notice.request_id, notice.posted_at, notice.message_id);
    status := (answer ->> 'status')::integer;
    reason := answer ->> 'error';
    -- A clock that was wrong may have left a time after now.
    age := case when notice.requested_at <= notify_settle.at then notify_settle.at - notice.requested_at else interval '1 hour' end;
    case answer ->> 'state'
        when 'unknown' then
            if age < interval '6 hours' then
                return notice.state;
            end if;
            reason := 'the answer cannot be read';
        when 'queued' then
            -- A worker that goes on must not send two of them, or an old one after a new one.
            if age < interval '15 minutes' or auto_backup.write_outside(
                'withdraw', jsonb_build_object('request_id', notice.request_id, 'message_id', notice.message_id)
            ) = 0 then
                return notice.state;
            end if;
            reason := 'pg_net has not sent the request';
        when 'gone' then
            if age < interval '2 minutes' then
                return notice.state;
            end if;
            reason := 'the request was lost';
        else
            if (answer -> 'redirected')::boolean then
                reason := 'the receiver has redirected the request';
            end if;
    end case;

    most := case
        when (answer -> 'redirected')::boolean then 1
        when status is null or status >= 500 or status in (408, 429) then 8
        else 3
    end;
    verdict := case
        when status between 200 and 299 and not (answer -> 'redirected')::boolean then 'delivered'
        when notice.attempts >= most then 'not_delivered'
        else 'waiting'
    end;
    update auto_backup.notices n
    set
        state = verdict, http_status = status, error = case when verdict <> 'delivered' then reason end,
        next_at = case
            when verdict = 'waiting' then least(notice.requested_at, notify_settle.at) + make_interval(mins => minutes[notice.attempts])
            else n.next_at
        end,
        finished_at = case when verdict <> 'waiting' then notify_settle.at end
    where n.notice_id = notify_settle.notice_id;
    return verdict;
end
$body$;
