-- The command of a drill's job, and what a person calls:
--   select auto_backup.drill('auto-backup', 'manual')
-- Restores the newest successful backup into temporary tables, records whether that
-- is possible and what would be lost, and opens or closes the incident about it. It
-- alters nothing but this schema. Returns what it has recorded, or null if this tick is
-- not due or has been drilled. A drill gives way: it is skipped while a backup runs or
-- where it would wait for a lock, and ends when its time is over.
create or replace function auto_backup.drill(backup text, trigger text default 'schedule', at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(drill.at, now());
    began constant timestamptz := clock_timestamp();
    document jsonb;
    plan jsonb;
    due timestamptz;
    record_id bigint;
    run auto_backup.runs;
    result jsonb := '{}';
    worst jsonb;
    missing bigint;
    outcome text;
    cause text;
    explanation text;
    ended timestamptz;
begin
    select s.document into document from auto_backup.settings s where s.backup = drill.backup;
    if not found then
        raise exception 'auto_backup: no backup "%" is installed', drill.backup using errcode = 'AB003';
    end if;
    plan := document -> 'drill';
    if coalesce(plan, 'null') = 'null' then
        raise exception 'auto_backup: backup "%" has no drill', drill.backup using errcode = 'AB003', hint = 'Set the argument drill, and apply.';
    end if;
    if drill.trigger = 'schedule' then
        if not coalesce((plan ->> 'enabled')::boolean, true) then
            return null;
        end if;
        select max(d) into due from auto_backup.due_times(plan, moment - interval '5 minutes', moment) as d;
        if due is null then
            return null;
        end if;
    end if;
    if pg_catalog.current_setting('transaction_read_only')::boolean then
        return jsonb_build_object('backup', drill.backup, 'state', 'skipped', 'error', 'the database is read-only');
    end if;

    begin
        insert into auto_backup.drills (backup, trigger, state, due_at, started_at)
        values (drill.backup, drill.trigger, 'running', due, moment)
        on conflict do nothing
        returning drills.drill_id into record_id;
        if record_id is null then
            return null;
        end if;
    exception
        -- The row of a drill in another session, which is not committed.
        when lock_not_available then
            return jsonb_build_object('backup', drill.backup, 'state', 'skipped', 'code', 'drill_running');
    end;

    select r.* into run
    from auto_backup.runs r
    where r.backup = drill.backup and r.state = 'succeeded' and r.backup_id is not null and r.finished_at <= moment
    order by r.finished_at desc
    limit 1;
    if run.run_id is null then
        result := jsonb_build_object('code', 'drill_no_backup');
    elsif coalesce(nullif(plan -> 'tables', 'null'), '[]') = '[]' then
        result := jsonb_build_object('code', 'drill_no_tables');
    elsif auto_backup.drill_disturbed(moment) then
        result := jsonb_build_object('code', 'drill_backup_running');
    else
        result := auto_backup.drill_rehearse(
            plan -> 'tables', run.backup_id, run.posted_at, coalesce((plan ->> 'max_rows')::integer, 100000),
            began + make_interval(secs => coalesce((plan ->> 'timeout_seconds')::integer, 120))
        );
        -- A backup that began meanwhile may have replaced what was read.
        if auto_backup.drill_disturbed(moment) then
            result := jsonb_build_object('code', 'drill_backup_running');
        end if;
    end if;

    -- The backup is empty although there was something to back up, or its ID was invented.
    if not result ? 'code' and not exists (
        select from jsonb_array_elements(result -> 'tables') t where (t.value ->> 'rows')::bigint > 0 or t.value #>> '{problems,0,code}' is not null
    ) then
        select sum((t.value ->> 'rows_missing')::bigint) into missing from jsonb_array_elements(result -> 'tables') t;
        if missing > 0 or run.records > 0 or coalesce(missing, run.records) is null then
            result := result || jsonb_build_object(
                'code', 'drill_backup_missing', 'object', run.backup_id || coalesce(format(' (%s)', nullif(missing, 0)), '')
            );
        end if;
    end if;
    result := result || jsonb_build_object('tables', coalesce((
        select jsonb_agg(
            t.value - 'judged' || jsonb_build_object(
                'problems', p.problems,
                'restorable', case when p.problems <> '[]' then false when (t.value -> 'judged')::boolean then true end
            ) order by t.place
        )
        from jsonb_array_elements(result -> 'tables') with ordinality as t (value, place)
        cross join lateral (
            select
                (t.value -> 'problems')
                || case
                    when (t.value -> 'rows')::bigint = 0 and (t.value -> 'rows_missing')::bigint > 0
                        then jsonb_build_array(jsonb_build_object('code', 'drill_copy_empty', 'object', t.value -> 'copy', 'rows', t.value -> 'rows_missing'))
                    else '[]'
                end
                || coalesce((
                    select jsonb_agg(jsonb_build_object('code', 'drill_column_lost', 'object', c.value -> 'name', 'rows', c.value -> 'rows'))
                    from jsonb_array_elements(t.value -> 'columns_lost') c
                    where exists (
                        select from jsonb_array_elements(plan -> 'require_columns') r
                        where r.value = (plan -> 'tables' -> (t.place - 1)::integer -> 'live') || (c.value -> 'name')
                    )
                ), '[]') as problems
        ) as p
    ), '[]'));

    select jsonb_agg(p.value || jsonb_build_object('table', t.value -> 'table') order by t.place, p.place) into worst
    from jsonb_array_elements(result -> 'tables') with ordinality as t (value, place)
    cross join lateral jsonb_array_elements(t.value -> 'problems') with ordinality as p (value, place);
    cause := coalesce(result ->> 'code', worst #>> '{0,code}');
    outcome := case
        when cause is null then 'successful'
        when cause = 'drill_timed_out' then 'timed_out'
        when cause in ('drill_no_backup', 'drill_no_tables', 'drill_backup_running', 'drill_locked', 'drill_canceled') then 'skipped'
        else 'failed'
    end;
    -- Names and numbers only: values of rows must not leave their tables.
    explanation := auto_backup.plain(coalesce(
        result ->> 'object',
        (
            select string_agg(
                case when p.value -> 'object' in (p.value -> 'table', 'null') then p.value ->> 'table' else (p.value ->> 'table') || ': ' || (p.value ->> 'object') end
                || coalesce(' (' || (p.value ->> 'rows') || ')', ''), ', ' order by p.place
            )
            from jsonb_array_elements(worst) with ordinality as p (value, place)
            where p.place <= 3 and not result ? 'code'
        )
    ));

    ended := case when drill.at is null then clock_timestamp() else moment + (clock_timestamp() - began) end;
    update auto_backup.drills d
    set
        state = outcome, code = cause, error = explanation,
        sqlstate = coalesce(result ->> 'sqlstate', case when outcome = 'failed' then worst #>> '{0,sqlstate}' end),
        run_id = run.run_id, backup_id = run.backup_id, made_at = run.posted_at, finished_at = ended, tables = result -> 'tables'
    where d.drill_id = record_id;
    perform auto_backup.drill_incident(drill.backup, outcome, cause, explanation, moment);
    return (select jsonb_strip_nulls(to_jsonb(d)) from auto_backup.drills d where d.drill_id = record_id);
end
$body$;
