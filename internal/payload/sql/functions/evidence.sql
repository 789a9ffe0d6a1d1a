-- What the application's logs say about runs: {"rows": {run ID: the row of
-- backup_logs}, "events": {run ID: {type: the row of system_logs}}, "problems": [...]}.
-- system_logs has no suitable index, so it is read only for `events` and only from
-- `since` on. A missing or altered table is reported as a problem and does not stop
-- the watchdog.
create or replace function auto_backup.evidence(rows uuid[], events uuid[], since timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    found_rows jsonb := '{}';
    found_events jsonb := '{}';
    problems jsonb := '[]';
begin
    if cardinality(evidence.rows) > 0 then
        begin
            select coalesce(jsonb_object_agg(l.id, jsonb_build_object(
                'success', l.success::boolean, 'records', l.records_affected::bigint, 'details', l.details::text,
                'at', l.created_at::timestamptz
            )), '{}') into found_rows
            from public.backup_logs l
            where l.id = any(evidence.rows);
        exception
            when others then
                problems := problems || to_jsonb('public.backup_logs cannot be read: ' || auto_backup.plain(sqlerrm));
        end;
    end if;
    if cardinality(evidence.events) > 0 then
        begin
            select coalesce(jsonb_object_agg(e.run_id, e.types), '{}') into found_events
            from (
                select
                    l.context ->> 'run_id' as run_id,
                    jsonb_object_agg(
                        l.type, jsonb_build_object('context', l.context, 'at', l.created_at::timestamptz) order by l.id
                    ) as types
                from public.system_logs l
                where l.type in ('auto_backup', 'auto_backup_error')
                and l.created_at >= evidence.since
                and l.context ->> 'run_id' = any(evidence.events::text[])
                and l.context ->> 'reported_by' is distinct from 'watchdog'
                group by l.context ->> 'run_id'
            ) as e;
        exception
            when others then
                problems := problems || to_jsonb('public.system_logs cannot be read: ' || auto_backup.plain(sqlerrm));
        end;
    end if;
    return jsonb_build_object('rows', found_rows, 'events', found_events, 'problems', problems);
end
$body$;
