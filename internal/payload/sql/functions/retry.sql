-- Retries a failed run: only the last attempt at the latest due time of a schedule,
-- only as often as the settings allow, and only if no other run is in progress. Manual
-- runs are not retried.
create or replace function auto_backup.retry(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    document jsonb;
    plan record;
    last auto_backup.runs;
    ended timestamptz;
    started jsonb;
    runs jsonb := '[]';
    problems jsonb := '[]';
begin
    select s.document into document from auto_backup.settings s where s.backup = retry.backup;
    for plan in
        select e.key
        from jsonb_each(document -> 'schedules') e
        where coalesce((e.value ->> 'enabled')::boolean, true)
        order by e.key
    loop
        exit when exists (
            select from auto_backup.runs r
            where r.backup = retry.backup and r.state in ('requested', 'running')
            and r.requested_at <= retry.at + interval '1 minute'
        );
        select r.* into last
        from auto_backup.runs r
        where r.backup = retry.backup and r.schedule = plan.key and r.trigger <> 'manual'
        and r.due_at <= retry.at and r.requested_at <= retry.at
        order by r.due_at desc, r.attempt desc
        limit 1;
        -- A clock that was wrong may have closed it at a time after now.
        ended := case when last.finished_at <= retry.at then last.finished_at else last.requested_at end;
        continue when last.state is distinct from 'failed'
            or last.attempt > coalesce((document #>> '{retry,attempts}')::integer, 0)
            -- Another run has made the backup in the meantime.
            or exists (
                select from auto_backup.runs r
                where r.backup = retry.backup and r.state = 'succeeded'
                and r.finished_at between ended and retry.at
            )
            -- The interval of the watchdog's ticks is the default delay, so a second could
            -- cost a whole interval.
            or retry.at + interval '30 seconds'
                < ended + make_interval(secs => coalesce((document #>> '{retry,delay_seconds}')::integer, 0));

        if last.code = 'not_sent' then
            -- pg_net must not send both requests when its worker continues.
            begin
                perform auto_backup.write_outside(
                    'withdraw', jsonb_build_object('request_id', last.request_id, 'run_id', last.run_id)
                );
            exception
                when others then
                    problems := problems || to_jsonb('the unsent request cannot be withdrawn: ' || auto_backup.plain(sqlerrm) || auto_backup.locked_by('net.http_request_queue', sqlstate));
            end;
        end if;
        started := auto_backup.launch(retry.backup, plan.key, 'retry', last.due_at, last.attempt + 1, retry.at);
        runs := runs || to_jsonb(started ->> 'run_id');
        problems := problems || coalesce(started -> 'problems', '[]');
    end loop;
    return jsonb_strip_nulls(jsonb_build_object('runs', nullif(runs, '[]'), 'problems', nullif(problems, '[]')));
end
$body$;
