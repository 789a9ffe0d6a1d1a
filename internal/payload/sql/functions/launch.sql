-- Starts a run for the watchdog. If that is not possible, the attempt is recorded in
-- the run history as failed, so that it is counted, alerted and not repeated endlessly.
-- `tick` says why the job did not start the run.
create or replace function auto_backup.launch(
    backup text, schedule text, trigger text, due_at timestamptz, attempt integer, at timestamptz, tick text default null
)
returns jsonb
language plpgsql
set search_path = ''
as $body$
declare
    id uuid;
    problem text;
    problems jsonb := '[]';
begin
    begin
        id := auto_backup.start(
            launch.backup, launch.schedule, launch.trigger, launch.due_at, launch.attempt, false, launch.at
        );
        update auto_backup.runs r set tick = launch.tick where r.run_id = id and launch.tick is not null;
    exception
        when others then
            problem := sqlerrm;
            insert into auto_backup.runs (
                backup, schedule, trigger, due_at, attempt, state, tick, requested_at, finished_at, code
            )
            values (
                launch.backup, launch.schedule, launch.trigger, launch.due_at, launch.attempt, 'failed', launch.tick,
                launch.at, launch.at, 'not_dispatched'
            )
            on conflict on constraint runs_once do nothing
            returning runs.run_id into id;
            problems := problems || auto_backup.close(id, jsonb_build_object(
                'state', 'failed', 'finished_at', launch.at,
                'code', case sqlstate when 'AB001' then 'token_missing' when 'AB002' then 'token_invalid' else 'not_dispatched' end,
                'error', case when sqlstate not in ('AB001', 'AB002') then auto_backup.plain(problem) end
            ), launch.at) || to_jsonb(auto_backup.plain(problem));
    end;
    return jsonb_strip_nulls(jsonb_build_object(
        'run_id', id, 'schedule', launch.schedule, 'due_at', auto_backup.rfc3339(launch.due_at),
        'problems', nullif(problems, '[]')
    ));
end
$body$;
