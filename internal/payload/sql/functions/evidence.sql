-- What the function says in the application's logs about runs: {"rows": {run ID: the
-- row of backup_logs}, "events": {run ID: {type: the row of system_logs}}, "forged":
-- the number of rows of system_logs that the function did not sign, "problems": [...]}.
--
-- Many roles can write these tables, anon among them. So an event counts only if it
-- is signed, and of several the one with the highest revision, of copies of it the
-- first. A row of backup_logs shows that the run was claimed; its success counts only
-- together with a signed event, and its text only with a signature at its end, which
-- the function writes where it cannot write system_logs. What is larger than the
-- function writes is not read, nor more rows than a flood of them; what is returned of a
-- row is short and clean.
--
-- system_logs has no suitable index, so it is read only for `events`, and for a run
-- that backup_logs calls successful, and only from `since` on. A missing or altered
-- table is reported as a problem and does not stop the watchdog.
create or replace function auto_backup.evidence(rows uuid[], events uuid[], since timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    -- In bytes, as stored. What is compressed can be a hundred times as large.
    largest constant integer := 16384;
    smallest constant integer := 2048;
    most constant integer := 10000;
    found_rows jsonb := '{}';
    found_events jsonb := '{}';
    wanted uuid[] := evidence.events;
    forged integer := 0;
    problems jsonb := '[]';
begin
    if cardinality(evidence.rows) > 0 then
        begin
            select coalesce(jsonb_object_agg(l.id, jsonb_build_object(
                'success', l.success::boolean, 'at', l.created_at::timestamptz,
                'details', case
                    when auto_backup.is_signed(
                        auto_backup.keys(r.backup, r.posted_at),
                        concat_ws(E'\n', 'backup-details-v1', r.run_id, left(t.details, -35)),
                        substring(t.details from ' \[([0-9a-f]{32})\]$')
                    ) then left(t.details, -35)
                end
            )), '{}') into found_rows
            from public.backup_logs l
            inner join auto_backup.runs r on r.run_id = l.id
            cross join lateral (
                select case
                    when pg_column_size(l.details) <= case when pg_column_compression(l.details) is null then largest else smallest end
                        then l.details::text
                end as details
            ) as t
            where l.id = any(evidence.rows);
            wanted := wanted || array(
                select f.key::uuid from jsonb_each(found_rows) f where f.value -> 'success' = 'true'
            );
        exception
            when others then
                problems := problems || to_jsonb(
                    'public.backup_logs cannot be read: ' || auto_backup.plain(sqlerrm) || auto_backup.locked_by('public.backup_logs', sqlstate)
                );
        end;
    end if;
    if cardinality(wanted) > 0 then
        begin
            with run as materialized (
                select r.run_id::text as id, auto_backup.keys(r.backup, r.posted_at) as keys
                from auto_backup.runs r
                where r.run_id = any(wanted)
            ),

            -- One pass over the log, which keeps nothing of a row that is not signed.
            event as materialized (
                select
                    e.run_id, e.id, e.type, e.at, e.signed,
                    case when e.signed then coalesce(substring(e.context ->> 'revision' from '^\d{1,9}$')::integer, 0) end as revision,
                    case when e.signed then jsonb_strip_nulls(jsonb_build_object(
                        'code', substring(e.context ->> 'code' from '^[A-Za-z][A-Za-z0-9_.-]{0,59}$'),
                        'sqlstate', e.context -> 'sqlstate',
                        'error', auto_backup.plain(e.context ->> 'error'),
                        'backup_id', e.context -> 'backup_id',
                        'total_records', e.context -> 'total_records',
                        'alert', jsonb_build_object(
                            'state', substring(e.context #>> '{alert,state}' from '^[a-z_]{1,20}$'),
                            'emails_sent', e.context #> '{alert,emails_sent}',
                            'emails_failed', e.context #> '{alert,emails_failed}',
                            'reason', auto_backup.plain(e.context #>> '{alert,reason}')
                        )
                    )) end as context
                from (
                    select
                        run.id as run_id, l.id, l.type, l.created_at::timestamptz as at, c.context,
                        auto_backup.is_signed(
                            run.keys, auto_backup.outcome(l.type, c.context), c.context ->> 'signature'
                        ) is true as signed
                    from public.system_logs l
                    cross join lateral (
                        select case
                            when pg_column_size(l.context) <= case when pg_column_compression(l.context) is null then largest else smallest end
                                then l.context::jsonb
                        end as context
                    ) as c
                    inner join run on run.id = c.context ->> 'run_id'
                    where l.type in ('auto_backup', 'auto_backup_error')
                    and l.created_at >= evidence.since
                    limit most + 1
                ) as e
                where e.context ->> 'reported_by' is distinct from 'watchdog'
            ),

            latest as (
                select distinct on (e.run_id) e.*
                from event e
                where e.signed
                order by e.run_id, e.revision desc, e.id
            )

            select
                coalesce(
                    (
                        select jsonb_object_agg(
                            l.run_id, jsonb_build_object(l.type, jsonb_build_object('context', l.context, 'at', l.at))
                        )
                        from latest l
                    ), '{}'
                ),
                (select count(*) from event e where not e.signed)
            into found_events, forged;
            if forged > most then
                problems := problems || to_jsonb(format(
                    'public.system_logs has more than %s rows about runs in progress, and the others were not read', most
                ));
            end if;
        exception
            when others then
                problems := problems || to_jsonb(
                    'public.system_logs cannot be read: ' || auto_backup.plain(sqlerrm) || auto_backup.locked_by('public.system_logs', sqlstate)
                );
        end;
    end if;
    select coalesce(jsonb_object_agg(f.key, f.value || jsonb_build_object(
        'success', f.value -> 'success' = 'true' and e.event is not null,
        'records', e.event #> '{context,total_records}'
    )), '{}') into found_rows
    from jsonb_each(found_rows) f
    cross join lateral (select found_events #> array[f.key, 'auto_backup'] as event) as e;
    return jsonb_build_object('rows', found_rows, 'events', found_events, 'forged', forged, 'problems', problems);
end
$body$;
