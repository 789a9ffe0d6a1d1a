-- Determines the state of a run in progress from pg_net's response and the log rows.
-- It reads nothing itself. Returns the columns of auto_backup.runs that change, always
-- with "state"; and "refused" if the request never reached the function, because the
-- gateway wants other keys (401).
--
-- The logs come first: a response can be lost, and a request can arrive twice, but
-- the row of backup_logs belongs to one delivery. The cases, in order:
--   the row says success                            succeeded
--   the function logged its failure                 failed, with its code
--   the function responded with its result          succeeded or failed, with its code
--   the row says failed, nothing else after 5 min   failed  function_failed, interrupted
--   the row exists, or 202, or a duplicate          running; after 12 min failed
--   pg_net timed out                                requested; after 5 min failed  timeout
--   pg_net got no response                          failed  unreachable
--   the function refused                            failed, with its code
--   another response                                failed  http_<status>, unexpected_answer
--   still in pg_net's queue                         requested; after 12 min failed  not_sent
--   neither in the queue nor a response             requested; after 5 min failed  no_answer
create or replace function auto_backup.judge(
    run auto_backup.runs, answer jsonb, log_row jsonb, events jsonb, readable boolean, at timestamptz
)
returns jsonb
language plpgsql
stable
set search_path = ''
as $body$
declare
    -- The times of the logs and of pg_net are real times.
    -- A run that was requested after now shows that a clock was wrong. It is judged by
    -- the real time of its request or, if that lies after now too, as an old one.
    requested constant timestamptz := case
        when run.requested_at <= judge.at then run.requested_at
        when run.posted_at <= judge.at then run.posted_at
        else judge.at - interval '1 day'
    end;
    shift constant interval := case when run.requested_at <= judge.at then run.requested_at - run.posted_at else interval '0' end;
    age constant interval := judge.at - requested;
    success constant jsonb := judge.events -> 'auto_backup';
    failure constant jsonb := judge.events -> 'auto_backup_error';
    details constant text := judge.log_row ->> 'details';
    -- If the function could not write its alert's outcome to system_logs.
    alerted constant text := case
        when details like '% (alerta enviado)' then 'delivered'
        when details like '% (alerta enviado só a uma parte dos assinantes)' then 'partly'
    end;
    body constant jsonb := case when judge.answer #>> '{body,run_id}' = run.run_id::text then judge.answer -> 'body' end;
    status constant integer := judge.answer ->> 'status';
    -- A code goes into e-mails as it is.
    code_form constant text := '^[A-Za-z][A-Za-z0-9_.-]{0,59}$';
    verdict jsonb := '{}';
    ended timestamptz;
    begun timestamptz;
begin
    if judge.answer ->> 'state' = 'answered' then
        verdict := jsonb_build_object(
            'answered_at', least((judge.answer ->> 'at')::timestamptz + shift, judge.at),
            'http_status', status,
            'http_error', coalesce(judge.answer ->> 'error', case when status >= 400 then judge.answer ->> 'code' end)
        );
    end if;
    verdict := jsonb_strip_nulls(verdict);

    if (judge.log_row ->> 'success')::boolean
        or body -> 'success' = 'true'
        -- The function was stopped between its last two writes: the backup exists.
        or (success is not null and failure is null and age >= interval '12 minutes')
    then
        ended := coalesce(success ->> 'at', judge.answer ->> 'at')::timestamptz + shift;
        return verdict || jsonb_build_object(
            'state', 'succeeded',
            'finished_at', greatest(requested, least(ended, judge.at)),
            'backup_id', substring(
                coalesce(success #>> '{context,backup_id}', body ->> 'backup_id', details)
                from '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
            ),
            'records', substring(
                coalesce(
                    case when (judge.log_row ->> 'success')::boolean then judge.log_row ->> 'records' end,
                    success #>> '{context,total_records}', body ->> 'total_records'
                ) from '^\d{1,18}$'
            ),
            -- The function writes its row in system_logs first.
            'logged_by', case when success is not null or (judge.log_row ->> 'success')::boolean then 'function' end
        );
    end if;

    if failure is not null then
        ended := (failure ->> 'at')::timestamptz + shift;
        return verdict || jsonb_build_object(
            'state', 'failed',
            'finished_at', greatest(requested, least(ended, judge.at)),
            'code', coalesce(substring(failure #>> '{context,code}' from code_form), 'function_failed'),
            'sqlstate', substring(failure #>> '{context,sqlstate}' from '^(?:[0-9A-Z]{5}|PGRST[0-9]{3})$'),
            'error', auto_backup.plain(failure #>> '{context,error}'),
            'logged_by', 'function',
            'function_alert', case
                when alerted is not null then alerted
                when failure #> '{context,alert,emails_sent}' > '0' and failure #> '{context,alert,emails_failed}' > '0' then 'partly'
                else substring(failure #>> '{context,alert,state}' from '^[a-z_]{1,20}$')
            end
        );
    end if;

    -- In the following cases the run ended with the response, or ends now.
    ended := greatest(requested, least((judge.answer ->> 'at')::timestamptz + shift, judge.at));
    verdict := verdict || jsonb_build_object('finished_at', ended);
    if body -> 'success' = 'false' and body ->> 'code' <> 'duplicate' then
        return verdict || jsonb_build_object(
            'state', 'failed', 'code', coalesce(substring(body ->> 'code' from code_form), 'function_failed'), 'error', auto_backup.plain(body ->> 'error'),
            'function_alert', case
                when body #> '{alert,emails_sent}' > '0' and body #> '{alert,emails_failed}' > '0' then 'partly'
                else substring(body #>> '{alert,state}' from '^[a-z_]{1,20}$')
            end
        );
    end if;

    if details like 'Backup automático falhou: %' or details like 'Backup automático interrompido: %' then
        -- The row in system_logs follows within seconds, or could not be written.
        if age < interval '5 minutes' then
            return (verdict - 'finished_at') || '{"state": "running"}';
        end if;
        return verdict || jsonb_build_object(
            'state', 'failed',
            'code', case when details like 'Backup automático interrompido: %' then 'interrupted' else 'function_failed' end,
            'error', auto_backup.plain(substring(details from ': (.*?)(?: \(alerta enviado[^)]*\))?$')),
            'function_alert', alerted
        );
    end if;

    if judge.log_row is not null
        or run.state = 'running'
        or (status = 202 and body is not null)
        or (status = 409 and judge.answer ->> 'code' = 'duplicate')
    then
        -- The request may have been sent long after it was queued.
        -- The function refuses a request after 15 minutes, so it has begun by then,
        -- whatever times others write.
        select max(b.at) into begun
        from (values
            (requested), (run.answered_at), ((judge.answer ->> 'at')::timestamptz + shift),
            ((judge.log_row ->> 'at')::timestamptz + shift)
        ) as b (at)
        where b.at <= least(judge.at, requested + interval '16 minutes');
        if judge.at < begun + interval '12 minutes' then
            return (verdict - 'finished_at') || '{"state": "running"}';
        end if;
        return verdict || jsonb_build_object(
            'state', 'failed', 'finished_at', judge.at,
            'code', case when judge.readable then 'interrupted' else 'log_unreadable' end
        );
    end if;

    if judge.answer ->> 'state' = 'answered' then
        if status is null then
            if (judge.answer ->> 'timed_out')::boolean and age < interval '5 minutes' then
                return (verdict - 'finished_at') || '{"state": "requested"}';
            end if;
            return verdict || jsonb_build_object(
                'state', 'failed',
                'code', case when (judge.answer ->> 'timed_out')::boolean then 'timeout' else 'unreachable' end,
                'error', judge.answer ->> 'error'
            );
        end if;
        return verdict || jsonb_build_object(
            'state', 'failed',
            'code', case
                when status < 300 then 'unexpected_answer'
                when (judge.answer ->> 'ours')::boolean and judge.answer ? 'code' then coalesce(judge.answer ->> 'code', 'http_' || status)
                else 'http_' || status
            end,
            'error', concat_ws(', ', 'HTTP ' || status, judge.answer ->> 'code')
        )
        || case
            when status = 401 and not coalesce((judge.answer ->> 'ours')::boolean, false)
                -- A function of the user's own refuses a signature with these codes.
                and coalesce(judge.answer ->> 'code', '') not in ('unauthorized', 'request_expired')
                -- Without the log nobody knows whether the run was claimed.
                and judge.readable
                then '{"refused": true}'::jsonb
            else '{}'
        end;
    end if;

    if age < (case judge.answer ->> 'state' when 'gone' then interval '5 minutes' else interval '12 minutes' end) then
        return (verdict - 'finished_at') || jsonb_build_object('state', run.state);
    end if;
    return verdict || jsonb_build_object(
        'state', 'failed', 'finished_at', judge.at,
        'code', case judge.answer ->> 'state' when 'queued' then 'not_sent' else 'no_answer' end,
        'error', judge.answer ->> 'error'
    );
end
$body$;
