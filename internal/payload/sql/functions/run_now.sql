-- Runs a backup manually. If a run is in progress, it returns that run, because two at
-- the same time would only wait for each other's locks. Returns {"run_id", "state",
-- "trigger", "requested_at", "joined"}.
create or replace function auto_backup.run_now(backup text)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '30s'
as $body$
#variable_conflict use_variable
declare
    id uuid;
    joined boolean := true;
    answer jsonb;
begin
    -- Of two calls at the same time, the second finds the first one's run.
    perform from auto_backup.settings s where s.backup = run_now.backup for no key update;
    -- A run may have ended since the watchdog last ran.
    perform auto_backup.watch(run_now.backup);
    select r.run_id into id
    from auto_backup.runs r
    where r.backup = run_now.backup and r.state in ('requested', 'running') and r.requested_at <= clock_timestamp()
    order by r.requested_at desc
    limit 1;
    if id is null then
        id := auto_backup.start(run_now.backup, 'manual', 'manual', clock_timestamp(), 1);
        joined := false;
    end if;
    select jsonb_build_object(
        'run_id', r.run_id, 'state', r.state, 'trigger', r.trigger,
        'requested_at', auto_backup.rfc3339(r.requested_at), 'joined', joined
    ) into answer
    from auto_backup.runs r
    where r.run_id = id;
    return answer;
end
$body$;
