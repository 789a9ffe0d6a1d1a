-- Starts a run: inserts its row and queues the request to the Edge Function in one
-- transaction, so that there is never one without the other. Returns the run's ID, or
-- null if this attempt at this due time already exists.
create or replace function auto_backup.start(
    backup text,
    schedule text,
    trigger text,
    due_at timestamptz,
    attempt integer,
    wait boolean default false,
    at timestamptz default null
)
returns uuid
language plpgsql
set search_path = ''
as $body$
declare
    document jsonb;
    token text;
    id uuid;
    request bigint;
begin
    select s.document into document from auto_backup.settings s where s.backup = start.backup;
    if not found then
        raise exception 'auto_backup: no backup "%" is installed', start.backup using errcode = 'AB003';
    end if;
    if coalesce(document #>> '{function,url}', '') = '' then
        raise exception 'auto_backup: the settings of backup "%" lack the function''s URL', start.backup
        using errcode = 'AB003';
    end if;
    token := auto_backup.token(start.backup);

    insert into auto_backup.runs (backup, schedule, trigger, due_at, attempt, state, requested_at)
    values (
        start.backup, start.schedule, start.trigger, start.due_at, start.attempt, 'requested', coalesce(start.at, now())
    )
    on conflict on constraint runs_once do nothing
    returning runs.run_id into id;
    if id is null then
        return null;
    end if;

    request := net.http_post(
        url := document #>> '{function,url}',
        headers := jsonb_build_object('Content-Type', 'application/json', 'X-Backup-Token', token)
        -- A self-hosted runtime may require a JWT for every function.
        || case when (document #>> '{function,send_key}')::boolean then auto_backup.key_headers(start.backup) else '{}' end,
        body := jsonb_build_object(
            'run_id', id,
            'backup', start.backup,
            'schedule', start.schedule,
            'due_at', auto_backup.rfc3339(start.due_at),
            'attempt', start.attempt
        )
        -- There is one alert for all attempts at one due time.
        || case when start.attempt > 1 then '{"alert": false}'::jsonb else '{}' end
        || case when start.wait then '{"wait": true}'::jsonb else '{}' end,
        -- The function responds immediately and continues to work. While pg_net waits
        -- for a response, it sends nothing else.
        timeout_milliseconds := case when start.wait then 150000 else 10000 end
    );
    update auto_backup.runs r set request_id = request where r.run_id = id;
    return id;
end
$body$;
