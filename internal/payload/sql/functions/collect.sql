-- Brings the run history up to date: closes runs in progress that have ended, calls
-- again for those whose keys the gateway refused, records that a run that was given
-- up has succeeded, and writes rows of public.backup_logs that were locked before.
create or replace function auto_backup.collect(backup text, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
as $body$
declare
    moment constant timestamptz := coalesce(collect.at, now());
    ids uuid[];
    open_ids uuid[];
    earliest timestamptz;
    answers jsonb;
    evidence jsonb;
    run auto_backup.runs;
    verdict jsonb;
    readable boolean;
    again boolean;
    problems jsonb;
    succeeded integer := 0;
    failed integer := 0;
    under_way integer := 0;
    began constant timestamptz := clock_timestamp();
begin
    select
        array_agg(r.run_id),
        array_agg(r.run_id) filter (where r.state <> 'failed' or r.logged_by is null or r.function_alert = 'pending'),
        min(r.posted_at) - interval '10 seconds'
    into ids, open_ids, earliest
    from auto_backup.runs r
    where r.backup = collect.backup
    and (
        r.state in ('requested', 'running')
        or (r.state = 'failed' and r.finished_at > moment - interval '1 day' and r.finished_at <= moment)
    );
    if ids is null then
        return jsonb_strip_nulls(jsonb_build_object('problems', nullif(auto_backup.close_again(collect.backup, moment), '[]')));
    end if;
    -- Read before the logs: a function logs how its run ended, and then answers. The other
    -- way round, an answer could be read whose log is written after the look at the logs.
    select jsonb_object_agg(r.run_id, auto_backup.answer(r.request_id, r.posted_at, r.run_id::text))
    into answers
    from auto_backup.runs r
    where r.run_id = any(ids) and r.state in ('requested', 'running');
    evidence := auto_backup.evidence(ids, coalesce(open_ids, '{}'), earliest);
    problems := evidence -> 'problems';
    readable := problems = '[]';
    if readable then
        problems := auto_backup.close_again(collect.backup, moment);
    end if;

    for run in
        select r.* from auto_backup.runs r
        where r.run_id = any(ids) and r.state <> 'succeeded'
        order by r.state = 'failed', r.requested_at
        for update
    loop
        -- Each may wait for locks of others.
        if clock_timestamp() > began + interval '30 seconds' then
            problems := problems || to_jsonb(text 'some runs were left for the next tick, because of locks');
            exit;
        end if;
        begin
            verdict := auto_backup.judge(
                run,
                coalesce(answers -> run.run_id::text, '{"state": "gone"}'),
                evidence #> array['rows', run.run_id::text], evidence #> array['events', run.run_id::text],
                readable, moment
            );
            if run.state = 'failed' then
                if verdict ->> 'state' = 'succeeded' then
                    problems := problems || auto_backup.close(run.run_id, verdict || jsonb_build_object('finished_at', moment), moment);
                    succeeded := succeeded + 1;
                elsif verdict ->> 'logged_by' = 'function' then
                    -- The function's own report came later, or has changed.
                    update auto_backup.runs r
                    set logged_by = 'function', function_alert = verdict ->> 'function_alert'
                    where r.run_id = run.run_id
                    and (r.logged_by, r.function_alert) is distinct from ('function', verdict ->> 'function_alert');
                elsif run.logged_by is null then
                    -- The log could not be written when the run failed.
                    problems := problems || auto_backup.close(run.run_id, jsonb_strip_nulls(to_jsonb(run)), moment);
                end if;
            elsif verdict ->> 'state' in ('requested', 'running') then
                under_way := under_way + 1;
                if verdict ->> 'state' <> run.state or verdict ? 'answered_at' and run.answered_at is null then
                    problems := problems || auto_backup.close(run.run_id, verdict, moment);
                end if;
            else
                again := false;
                if verdict ? 'refused' then
                    begin
                        again := auto_backup.call_again(run, moment);
                    exception
                        when others then
                            problems := problems || to_jsonb(format('run %s cannot be requested again: %s', run.run_id, auto_backup.plain(sqlerrm)));
                    end;
                end if;
                if again then
                    under_way := under_way + 1;
                    continue;
                end if;
                problems := problems || auto_backup.close(run.run_id, verdict, moment);
                if verdict ->> 'state' = 'succeeded' then
                    succeeded := succeeded + 1;
                else
                    failed := failed + 1;
                end if;
            end if;
        exception
            when others then
                -- A run that cannot be judged must not keep others open.
                problems := problems || to_jsonb(format('run %s: %s', run.run_id, auto_backup.plain(sqlerrm)));
        end;
    end loop;
    return jsonb_strip_nulls(jsonb_build_object(
        'succeeded', nullif(succeeded, 0), 'failed', nullif(failed, 0), 'under_way', nullif(under_way, 0),
        'forged', nullif(evidence -> 'forged', '0'),
        'problems', nullif(problems, '[]')
    ));
end
$body$;
