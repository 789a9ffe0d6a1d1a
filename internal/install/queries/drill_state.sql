-- How far the restore drill of backup $1 is that was requested after drill $2, null: not
-- yet requested; $3 is its job and $4 when it was requested, each null if not known.
select
    jsonb_build_object(
        'newest', coalesce((select max(d.drill_id) from auto_backup.drills d where d.backup = s.backup), 0),
        'drill', (
            select to_jsonb(d)
            from auto_backup.drills d
            where d.backup = s.backup and d.trigger = 'manual' and d.drill_id > $2::bigint
            order by d.drill_id
            limit 1
        ),
        'timeout_seconds', s.document #> '{drill,timeout_seconds}',
        'job', j.jobid,
        'logged', coalesce(current_setting('cron.log_run', true), 'on') = 'on',
        'tick', (
            select jsonb_build_object('status', t.status, 'message', left(t.return_message, 300), 'at', t.start_time)
            from (select o.* from cron.job_run_details o order by o.runid desc limit 1000) as t
            where t.jobid = coalesce(j.jobid, $3::bigint) and (t.start_time >= $4::timestamptz or t.start_time is null or $4::timestamptz is null)
            order by t.runid desc
            limit 1
        )
    ) as result
from auto_backup.settings s
left join cron.job j on j.jobname = s.backup || '-drill_now' and j.username = current_user
where s.backup = $1::text
