-- The rows of auto_backup.runs of the runs in progress, as the watchdog will record
-- those whose outcome the function has logged. The run history shows them so: an
-- outcome counts before the watchdog's next look. It writes nothing.
create or replace function auto_backup.outcomes()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set lock_timeout = '500ms'
as $body$
declare
    ids uuid[];
    earliest timestamptz;
    evidence jsonb;
    run auto_backup.runs;
    verdict jsonb;
    outcomes jsonb := '[]';
begin
    select array_agg(r.run_id), min(r.posted_at) - interval '10 seconds'
    into ids, earliest
    from auto_backup.runs r
    where r.state in ('requested', 'running');
    if ids is null then
        return outcomes;
    end if;
    begin
        evidence := auto_backup.evidence(ids, ids, earliest);
    exception
        when others then evidence := null;
    end;
    for run in
        select r.* from auto_backup.runs r where r.run_id = any(ids)
    loop
        begin
            verdict := auto_backup.judge(
                run, auto_backup.answer(run.request_id, run.posted_at, run.run_id::text),
                evidence #> array['rows', run.run_id::text], evidence #> array['events', run.run_id::text], true, now()
            );
            if verdict ->> 'logged_by' = 'function' then
                run := jsonb_populate_record(run, verdict);
            end if;
        exception
            -- It stays as it is recorded.
            when others then null;
        end;
        outcomes := outcomes || to_jsonb(run);
    end loop;
    return outcomes;
end
$body$;
