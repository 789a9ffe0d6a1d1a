-- The five jobs that AIMindset had before. Both backup jobs send a bearer that is
-- NULL, so the request goes out without one, to an address that does not answer
-- as they think, and pg_cron says "succeeded".

select cron.schedule('cleanup_old_logs_job', '0 2 * * *', 'select cleanup_old_logs_enhanced(90)');

select cron.schedule(job.name, job.schedule, format($command$
  select net.http_post(
    url := %L,
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'Authorization', 'Bearer ' || current_setting('app.settings.supabase_service_role_key', true)),
    body := jsonb_build_object('triggered_by', %L, 'timestamp', now(), 'timezone', 'UTC')) as request_id;
  $command$, current_setting('stack.project_url') || '/api/auto-backup', job.trigger))
from (values
  ('auto-backup-daily', '0 6 * * *', 'cron_job_primary'),
  ('auto-backup-secondary', '0 18 * * *', 'cron_job_secondary')
) as job (name, schedule, trigger);

select cron.schedule('publish_due_articles_every_minute', '* * * * *', 'SELECT public.publish_due_articles()');
select cron.schedule('alert_overdue_publications_every_5_minutes', '*/5 * * * *', 'SELECT public.alert_overdue_publications()');
