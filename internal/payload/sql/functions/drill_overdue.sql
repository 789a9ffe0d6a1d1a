-- A step of the watchdog: opens an incident if no drill has come to a result for longer
-- than the settings allow, whether its job did not run or each was skipped.
create or replace function auto_backup.drill_overdue(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    plan jsonb;
    allowed interval;
    since timestamptz;
    latest timestamptz;
    code text;
begin
    -- An apply may just have switched the drills on.
    select s.document -> 'drill', greatest(s.created_at, s.updated_at) into plan, since
    from auto_backup.settings s where s.backup = drill_overdue.backup;
    allowed := make_interval(secs => coalesce((plan ->> 'overdue_after_seconds')::bigint, 0));
    -- Without tables no drill can take place. The status says so; nobody has to be woken.
    if not coalesce((plan ->> 'enabled')::boolean, false) or allowed = interval '0'
        or coalesce(nullif(plan -> 'tables', 'null'), '[]') = '[]'
    then
        return '{}';
    end if;
    select max(d.started_at) into latest
    from auto_backup.drills d
    where d.backup = drill_overdue.backup and d.state in ('successful', 'failed', 'timed_out') and d.started_at <= drill_overdue.at;
    since := greatest(latest, case when since <= drill_overdue.at then since end);
    if since is null or drill_overdue.at <= since + allowed then
        return '{}';
    end if;
    code := 'drill_overdue';
    perform auto_backup.drill_incident(
        drill_overdue.backup, 'overdue', code,
        case when latest is null then 'There has been none yet.' else 'The last one was at ' || auto_backup.rfc3339(latest) || '.' end,
        drill_overdue.at
    );
    return '{}';
end
$body$;
