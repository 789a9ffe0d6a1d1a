-- Looks after one open export: notes what became of its newest request or of a worker
-- that has not been heard of, opens the incident, and requests the next call if it is
-- due. Returns what it did in a word, or null.
create or replace function auto_backup.offsite_call(export bigint, at timestamptz)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    current auto_backup.exports;
    answer jsonb;
    status integer;
    problem jsonb;
    code text;
    patient constant interval := interval '5 minutes';
begin
    select e.* into current
    from auto_backup.exports e
    where e.export_id = offsite_call.export and e.state = 'open'
    for no key update skip locked;
    if not found or current.claimed_until >= offsite_call.at then
        return null;
    end if;

    if current.worker is not null then
        -- A call that has stored something has failed at nothing.
        if exists (
            select from auto_backup.export_objects o
            where o.export_id = current.export_id and o.state = 'stored' and o.written_at >= current.claimed_at
        ) then
            update auto_backup.exports e set worker = null, claimed_until = null, next_at = offsite_call.at where e.export_id = current.export_id;
        else
            problem := jsonb_build_object('code', 'offsite_interrupted', 'at_once', current.failures < 2);
        end if;
    elsif current.request_id is not null and (current.claimed_at is null or current.claimed_at < current.requested_at)
        and (current.failed_at is null or current.failed_at <= current.requested_at)
    then
        answer := auto_backup.answer(current.request_id, current.posted_at, current.call_id::text);
        status := (answer ->> 'status')::integer;
        if answer ->> 'state' = 'unknown' then
            return null;
        elsif answer ->> 'state' = 'queued' then
            -- It is worth nothing any more after 15 minutes.
            if offsite_call.at < current.requested_at + interval '15 minutes' then
                return null;
            end if;
            perform auto_backup.write_outside('withdraw', jsonb_build_object('request_id', current.request_id, 'run_id', current.call_id));
            problem := jsonb_build_object('code', 'not_sent', 'at_once', current.failures < 2);
        elsif status = 401 and not (answer -> 'ours')::boolean then
            update auto_backup.exports e set refused = e.refused + 1 where e.export_id = current.export_id;
            if auto_backup.export_post(current.export_id, offsite_call.at) then
                return 'posted';
            end if;
            update auto_backup.exports e set refused = 0 where e.export_id = current.export_id;
            problem := jsonb_build_object('code', coalesce(answer ->> 'code', 'http_' || status), 'retry', false);
        elsif answer ->> 'state' = 'answered' and status is null then
            problem := jsonb_build_object(
                'code', case when (answer -> 'timed_out')::boolean then 'timeout' else 'unreachable' end, 'message', answer -> 'error'
            );
        elsif answer ->> 'state' = 'answered' and status not between 200 and 299 and not (status = 409 and (answer -> 'ours')::boolean) then
            problem := jsonb_build_object(
                -- Any role can write an answer, so only a code that is known counts.
                'code', case
                    when (answer -> 'ours')::boolean and exists (
                        select from auto_backup.codes c where c.code = answer ->> 'code' and c.arises && array['offsite', 'refusal']
                    ) then answer ->> 'code'
                    else 'http_' || status
                end, 'status', status
            );
        elsif offsite_call.at < current.requested_at + patient then
            return null;
        else
            problem := jsonb_build_object('code', case answer ->> 'state' when 'answered' then 'offsite_silent' else 'no_answer' end, 'at_once', current.failures < 2);
        end if;
    end if;
    if problem is not null then
        perform auto_backup.export_note(current.export_id, problem, offsite_call.at);
    end if;

    select e.* into current from auto_backup.exports e where e.export_id = offsite_call.export;
    if current.failures >= 3 or (current.failures > 0 and not current.retryable) then
        perform auto_backup.offsite_incident(current.backup, current.destination, current.code, current.error, offsite_call.at);
    elsif offsite_call.at > current.opened_at + interval '1 day' then
        code := 'offsite_late';
        perform auto_backup.offsite_incident(current.backup, current.destination, code, 'since ' || auto_backup.rfc3339(current.opened_at), offsite_call.at);
    end if;
    if current.next_at > offsite_call.at then
        return null;
    end if;
    begin
        if auto_backup.export_post(current.export_id, offsite_call.at) then
            return 'posted';
        end if;
        update auto_backup.exports e set refused = 0 where e.export_id = current.export_id;
        return null;
    exception
        when sqlstate 'AB001' or sqlstate 'AB002' or sqlstate 'AB003' then
            perform auto_backup.export_note(current.export_id, jsonb_build_object(
                'code', case sqlstate when 'AB001' then 'token_missing' when 'AB002' then 'token_invalid' else 'not_dispatched' end, 'retry', false
            ), offsite_call.at);
            return null;
    end;
end
$body$;
