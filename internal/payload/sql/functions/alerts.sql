-- Makes sure that every incident is alerted once. The Edge Function alerts first. If
-- it could not, the watchdog alerts, and checks at later ticks whether its alert was
-- delivered. An alert that was not delivered is sent at most twice more, but not if
-- it has reached some of the subscribers, because they would get it again. One that
-- the gateway refused (401) is sent again at once with the keys in the other headers,
-- once.
create or replace function auto_backup.alerts(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
declare
    most_attempts constant integer := 3;
    enabled boolean;
    incident auto_backup.incidents;
    run auto_backup.runs;
    answer jsonb;
    emails_sent integer;
    emails_failed integer;
    status integer;
    verdict text; -- what to do: wait, send, or a final state
    alerted_by text;
    refused bigint; -- the request whose keys are sent again the other way
    reason text;
    age interval;
    tally jsonb := '{}';
    problem text;
    problems jsonb := '[]';
begin
    select coalesce((s.document #>> '{alert,enabled}')::boolean, false) into enabled
    from auto_backup.settings s
    where s.backup = alerts.backup;

    for incident in
        select i.*
        from auto_backup.incidents i
        where i.backup = alerts.backup
        and (i.recovered_at is null or i.alert_state in ('waiting', 'sent', 'not_delivered')) -- the index
        and (
            i.alert_state in ('waiting', 'sent')
            or (i.alert_state = 'not_delivered' and i.alert_request_id is not null and i.opened_at > alerts.at - interval '1 day')
        )
        order by i.kind, i.incident_id -- 'failed' before 'overdue', which may depend on it
    loop
        verdict := null;
        alerted_by := 'watchdog';
        refused := null;
        reason := null;
        status := null;

        if incident.alert_state = 'waiting' and not enabled then
            verdict := 'off';
            alerted_by := null;
        elsif incident.alert_state = 'waiting' and incident.kind = 'failed' then
            select r.* into run from auto_backup.runs r where r.run_id = incident.run_id;
            if run.function_alert in ('delivered', 'partly') then
                alerted_by := 'function';
                verdict := case run.function_alert when 'delivered' then 'delivered' else 'not_delivered' end;
                reason := case run.function_alert when 'partly' then 'only some of the e-mails were sent' end;
            elsif run.function_alert = 'pending' and alerts.at < run.finished_at + interval '2 minutes' then
                verdict := 'wait';
            else
                verdict := 'send';
            end if;
        elsif incident.alert_state = 'waiting' and incident.kind in ('drill', 'offsite') then
            verdict := 'send';
        elsif incident.alert_state = 'waiting' then
            -- Failures during this time without a success may already have been alerted.
            select case
                when bool_or(i.alert_state = 'delivered') then 'suppressed'
                when bool_or(i.alert_state in ('waiting', 'sent')) then 'wait'
                else 'send'
            end into verdict
            from auto_backup.incidents i
            where i.backup = incident.backup and i.kind = 'failed' and i.recovered_at is not distinct from incident.recovered_at
            and i.opened_at <= alerts.at;
            alerted_by := case verdict when 'suppressed' then null else 'watchdog' end;
        else
            -- A clock that was wrong may have left a time after now.
            age := case
                when incident.alert_requested_at <= alerts.at then alerts.at - incident.alert_requested_at
                else interval '1 hour'
            end;
            answer := case
                when incident.alert_request_id is null then '{"state": "gone"}'
                else auto_backup.answer(
                    incident.alert_request_id, incident.alert_posted_at, incident.backup || '/' || incident.incident_id
                )
            end;
            status := (answer ->> 'status')::integer;
            if answer ->> 'state' = 'answered' then
                emails_sent := substring(answer #>> '{body,emails_sent}' from '^\d{1,9}$');
                emails_failed := substring(answer #>> '{body,emails_failed}' from '^\d{1,9}$');
                if status = 200 and emails_sent > 0 and emails_failed = 0 then
                    verdict := 'delivered';
                elsif status = 200 and emails_sent > 0 then
                    verdict := 'not_delivered';
                    reason := format('%s of %s e-mails were not sent', emails_failed, emails_sent + emails_failed);
                else
                    reason := case
                        when status is null then answer ->> 'error'
                        when status = 200 then 'the alert function sent no e-mail'
                        else concat_ws(' ', 'HTTP ' || status, answer ->> 'code')
                    end;
                    if status = 401 and incident.alert_refused_id is null
                        and auto_backup.key_headers(incident.backup, other => true) is not null
                    then
                        refused := incident.alert_request_id;
                    end if;
                end if;
            elsif answer ->> 'state' = 'queued' then
                -- It is sent when pg_net's worker continues; another one would be a duplicate.
                verdict := case when age < interval '30 minutes' then 'wait' else 'not_delivered' end;
                reason := 'pg_net has not sent the request';
            else
                reason := coalesce(
                    case when incident.alert_request_id is null then incident.alert_error end,
                    answer ->> 'error', 'the request was lost'
                );
            end if;
            verdict := coalesce(verdict, case
                when incident.alert_attempts >= most_attempts then 'not_delivered'
                when refused is null and age < interval '5 minutes' then 'wait'
                else 'send'
            end);
            -- An alert that was given up still counts if it is delivered.
            if incident.alert_state = 'not_delivered' and verdict <> 'delivered' then
                verdict := 'wait';
            end if;
        end if;

        if verdict = 'send' then
            perform auto_backup.send_alert(
                incident.incident_id, alerts.at, reason,
                -- What was not refused the other way is sent so again.
                coalesce(refused, case when status is distinct from 401 then incident.alert_refused_id end)
            );
        elsif verdict = 'wait' and incident.alert_state = 'sent' and answer ->> 'state' = 'answered' then
            -- It is sent again later; until then the run history says why.
            update auto_backup.incidents i
            set alert_http_status = status, alert_error = reason
            where i.incident_id = incident.incident_id
            and (i.alert_http_status, i.alert_error) is distinct from (status, reason);
        elsif verdict <> 'wait' then
            problem := auto_backup.settle_alert(incident.incident_id, verdict, alerted_by, alerts.at, status, reason);
            if problem is not null then
                problems := problems || to_jsonb(problem);
            end if;
        end if;
        if verdict <> 'wait' then
            verdict := case verdict when 'send' then 'sent' else verdict end;
            tally := tally || jsonb_build_object(verdict, coalesce((tally ->> verdict)::integer, 0) + 1);
        end if;
    end loop;
    return tally || case when problems = '[]' then '{}' else jsonb_build_object('problems', problems) end;
end
$body$;
