-- Deletes old rows, a limited number at a time: this backup's rows in pg_cron's
-- history, which pg_cron itself never deletes, after 14 days, those in the run history,
-- of drills, of off-site copies and of messages after 400, and the token before the present one after
-- two. The newest complete copy at each address stays, because the next one refers to it. The
-- watchdog calls it once a day, and again at its next tick if a batch was full. It does
-- not change other jobs' history or the application's logs.
create or replace function auto_backup.prune(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    batch constant integer := 1000;
    -- Nothing is lost because somebody or a clock names the future.
    moment constant timestamptz := least(prune.at, now());
    removed_details integer;
    removed_runs integer;
    removed_incidents integer;
    removed_drills integer;
    removed_exports integer;
    removed_checks integer;
    removed_notices integer;
begin
    delete from cron.job_run_details d
    where d.runid in (
        select o.runid
        from cron.job_run_details o
        inner join cron.job j on j.jobid = o.jobid
        where j.username = current_user
        and j.jobname in (
            select prune.backup || '-watchdog'
            union all
            select prune.backup || '-drill'
            union all
            select prune.backup || '-drill_now'
            union all
            select prune.backup || '-retention'
            union all
            select prune.backup || '-' || k
            from auto_backup.settings s
            cross join jsonb_object_keys(s.document -> 'schedules') as k
            where s.backup = prune.backup
        )
        and coalesce(o.end_time, o.start_time) < moment - interval '14 days'
        order by o.runid
        limit batch
    );
    get diagnostics removed_details = row_count;

    delete from auto_backup.runs r
    where r.run_id in (
        select o.run_id
        from auto_backup.runs o
        where o.backup = prune.backup and o.requested_at < moment - interval '400 days'
        -- The retention removes only what the run history has, and forgets what the tables
        -- have not; see auto_backup.retain_next.
        and not (
            o.state = 'succeeded' and o.backup_id is not null and o.removed_at is null
            and exists (select from auto_backup.settings s where s.backup = prune.backup and s.document ->> 'retention' is not null)
        )
        order by o.requested_at
        limit batch
    );
    get diagnostics removed_runs = row_count;

    delete from auto_backup.incidents i
    where i.incident_id in (
        select o.incident_id
        from auto_backup.incidents o
        where o.backup = prune.backup and o.opened_at < moment - interval '400 days'
        order by o.opened_at
        limit batch
    );
    get diagnostics removed_incidents = row_count;

    delete from auto_backup.drills d
    where d.drill_id in (
        select o.drill_id
        from auto_backup.drills o
        where o.backup = prune.backup and o.started_at < moment - interval '400 days'
        order by o.started_at
        limit batch
    );
    get diagnostics removed_drills = row_count;

    -- The newest complete one of each destination is the chain's end.
    delete from auto_backup.exports e
    where e.export_id in (
        select o.export_id
        from auto_backup.exports o
        where o.backup = prune.backup and o.state <> 'open' and o.opened_at < moment - interval '400 days'
        and not (o.state = 'complete' and not exists (
            select from auto_backup.exports n
            where n.backup = o.backup and n.destination = o.destination and n.address = o.address and n.state = 'complete' and n.sequence > o.sequence
        ))
        order by o.opened_at
        limit batch
    );
    get diagnostics removed_exports = row_count;

    delete from auto_backup.export_checks c
    where c.check_id in (
        select o.check_id
        from auto_backup.export_checks o
        where o.backup = prune.backup and o.state <> 'open' and o.started_at < moment - interval '400 days'
        order by o.started_at
        limit batch
    );
    get diagnostics removed_checks = row_count;

    delete from auto_backup.notices n
    where n.notice_id in (
        select o.notice_id
        from auto_backup.notices o
        where o.backup = prune.backup and o.state not in ('waiting', 'sent') and o.happened_at < moment - interval '400 days'
        order by o.happened_at
        limit batch
    );
    get diagnostics removed_notices = row_count;

    delete from auto_backup.frozen f
    where not exists (select from auto_backup.exports e where e.export_id = f.export_id and e.state = 'open');

    -- No run that was signed with it is open any longer.
    delete from vault.secrets v
    where v.name = prune.backup || '/former-token' and v.updated_at < moment - interval '2 days';

    return jsonb_strip_nulls(jsonb_build_object(
        'cron_details', nullif(removed_details, 0), 'runs', nullif(removed_runs, 0), 'incidents', nullif(removed_incidents, 0),
        'drills', nullif(removed_drills, 0), 'exports', nullif(removed_exports, 0), 'export_checks', nullif(removed_checks, 0), 'notices', nullif(removed_notices, 0),
        'more', nullif(greatest(removed_details, removed_runs, removed_incidents, removed_drills, removed_exports, removed_checks, removed_notices) = batch, false)
    ));
end
$body$;
