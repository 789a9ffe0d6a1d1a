-- Why the retention of a backup removes nothing now; null if it may. Nothing is removed
-- while anything is wrong: while a backup is being made, after a run that failed, during
-- an incident, without a recent success, and unless the newest restore drill is recent
-- and was successful. An incident about off-site copies could last until the disk is full,
-- and does not count.
create or replace function auto_backup.retain_refusal(backup text, at timestamptz)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    document jsonb;
    run auto_backup.runs;
    drill auto_backup.drills;
    allowed interval;
begin
    select s.document into document from auto_backup.settings s where s.backup = retain_refusal.backup;
    if coalesce(document -> 'retention', 'null') = 'null' then
        return 'no policy';
    elsif auto_backup.drill_disturbed(retain_refusal.at) then
        return 'a backup is being made';
    end if;
    select r.* into run
    from auto_backup.runs r
    where r.backup = retain_refusal.backup and r.requested_at <= retain_refusal.at
    order by r.requested_at desc
    limit 1;
    allowed := make_interval(secs => coalesce((document #>> '{alert,overdue_after_seconds}')::bigint, 0));
    if run.state is distinct from 'succeeded' then
        return 'the latest run did not succeed';
    elsif allowed > interval '0' and run.finished_at < retain_refusal.at - allowed then
        return 'the latest backup is too old';
    elsif not coalesce((document #>> '{drill,enabled}')::boolean, false) then
        return 'restore drills are switched off';
    end if;
    select d.* into drill
    from auto_backup.drills d
    where d.backup = retain_refusal.backup and d.state <> 'skipped' and d.started_at <= retain_refusal.at
    order by d.started_at desc, d.drill_id desc
    limit 1;
    allowed := make_interval(secs => coalesce((document #>> '{drill,overdue_after_seconds}')::bigint, 0));
    return case
        when drill.state is distinct from 'successful' then 'the latest restore drill was not successful'
        when drill.started_at < retain_refusal.at - allowed then 'the latest restore drill is too old'
        when exists (select from auto_backup.incidents i where i.backup = retain_refusal.backup and i.recovered_at is null and i.kind <> 'offsite') then 'an incident is open'
    end;
end
$body$;
