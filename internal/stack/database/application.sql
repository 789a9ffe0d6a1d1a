-- A schema like AIMindset's in production, made as role postgres: the tables,
-- columns, constraints, row level security, triggers and functions that a backup
-- touches or stumbles over, with their flaws. backup_all_data() turns every error
-- into a normal result, restore_from_backup() never works, a NULL in
-- articles.published breaks the backup, backup_logs admits two action types only,
-- and anon may do nearly everything.
--
-- It replaces the application's database and leaves out what no backup touches
-- (newsletters, campaigns, SEO, storage, counters and their triggers). The bodies
-- are rewritten, so their hashes differ from production.

create table public.admin_users (
  id uuid primary key,
  email text unique not null,
  created_at timestamptz default now()
);

create table public.articles (
  id uuid primary key default gen_random_uuid(),
  title text not null,
  excerpt text,
  content text,
  image_url text,
  published boolean default false,
  category_id uuid,
  author_id uuid,
  slug text not null unique,
  tags text,
  approval_rate numeric(5, 2) default 0,
  positive_feedback int default 0,
  negative_feedback int default 0,
  total_views int default 0,
  total_likes int default 0,
  positive_feedbacks int default 0,
  negative_feedbacks int default 0,
  comments_count int default 0,
  likes_count int default 0,
  is_featured boolean default false,
  is_featured_manual boolean default false,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  scheduled_for timestamptz,
  scheduling_status text default 'draft',
  scheduled_by uuid,
  scheduled_at timestamptz,
  original_timezone text default 'America/Sao_Paulo'
);

create table public.comments (
  id uuid primary key default gen_random_uuid(),
  article_id uuid not null references public.articles (id) on delete cascade,
  user_name text not null check (length(user_name) between 1 and 100),
  content text not null check (length(content) between 1 and 5000),
  created_at timestamptz default now(),
  parent_id uuid references public.comments (id) on delete cascade,
  likes int not null default 0,
  user_id uuid,
  user_avatar_url text
);

create table public.feedbacks (
  id uuid primary key default gen_random_uuid(),
  article_id uuid not null references public.articles (id) on delete cascade,
  type text not null check (type in ('positive', 'negative', 'like', 'comment')),
  user_id text,
  content text,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table public.backend_logs (
  id bigserial primary key,
  table_name text not null,
  action text not null check (action in ('INSERT', 'UPDATE', 'DELETE')),
  record_id text,
  old_data jsonb,
  new_data jsonb,
  performed_by text,
  created_at timestamptz default now()
);
create index idx_backend_logs_created_at on public.backend_logs (created_at desc);

create table public.app_logs (
  id bigserial primary key,
  level text not null check (level in ('info', 'warn', 'error')),
  source text not null,
  action text not null,
  details jsonb,
  user_id text,
  created_at timestamptz default now()
);
create index idx_app_logs_created_at on public.app_logs (created_at desc);

create table public.system_logs (
  id bigserial primary key,
  type text not null,
  message text not null,
  context jsonb,
  created_at timestamptz default now()
);
create index idx_system_logs_type on public.system_logs (type);
create index idx_system_logs_created_at on public.system_logs (created_at desc);

create table public.alert_subscriptions (
  id bigserial primary key,
  email text unique not null,
  created_at timestamptz default now(),
  is_active boolean default true
);

create table public.alert_subscribers (
  id uuid primary key default gen_random_uuid(),
  email text unique not null,
  active boolean default true,
  created_at timestamptz default now()
);

create table public.backup_logs (
  id uuid primary key default gen_random_uuid(),
  action_type varchar(20) not null
    constraint backup_logs_action_type_check check (action_type in ('backup', 'restore')),
  created_at timestamptz default now(),
  records_affected int default 0,
  details text,
  success boolean default true
);
create index idx_backup_logs_created_at on public.backup_logs (created_at desc);
create index idx_backup_logs_action_type on public.backup_logs (action_type);

create table public.backup_articles (
  id uuid primary key default gen_random_uuid(),
  backup_id uuid not null,
  original_id uuid not null,
  title text not null,
  excerpt text,
  content text,
  image_url text,
  published boolean not null,
  category_id uuid,
  author_id uuid,
  slug text,
  tags text,
  approval_rate numeric(5, 2),
  positive_feedback int,
  negative_feedback int,
  total_views int,
  total_likes int,
  positive_feedbacks int,
  negative_feedbacks int,
  comments_count int,
  likes_count int,
  is_featured boolean,
  is_featured_manual boolean,
  created_at timestamptz,
  updated_at timestamptz,
  backup_created_at timestamptz default now()
);
create index idx_backup_articles_backup_id on public.backup_articles (backup_id);

create table public.backup_comments (
  id uuid primary key default gen_random_uuid(),
  backup_id uuid not null,
  original_id uuid not null,
  article_id uuid,
  user_name text,
  content text,
  parent_id uuid,
  likes int default 0,
  created_at timestamptz,
  backup_created_at timestamptz default now()
);
create index idx_backup_comments_backup_id on public.backup_comments (backup_id);

create table public.backup_feedbacks (
  id uuid primary key default gen_random_uuid(),
  backup_id uuid not null,
  original_id uuid not null,
  article_id uuid,
  type text,
  user_id text,
  content text,
  created_at timestamptz,
  backup_created_at timestamptz default now()
);
create index idx_backup_feedbacks_backup_id on public.backup_feedbacks (backup_id);

create table public.backend_logs_backup (
  id bigint primary key,
  table_name text not null,
  action text not null,
  record_id text,
  old_data jsonb,
  new_data jsonb,
  performed_by text,
  created_at timestamptz not null,
  backup_created_at timestamptz default now()
);

create table public.app_logs_backup (
  id bigint primary key,
  level text not null,
  source text not null,
  action text not null,
  details jsonb,
  user_id text,
  created_at timestamptz not null,
  backup_created_at timestamptz default now()
);

create table public.system_logs_backup (
  id bigint primary key,
  type text not null,
  message text not null,
  context jsonb,
  created_at timestamptz not null,
  backup_created_at timestamptz default now()
);

-- Left over from the first design of the backup, and empty.
create table public.articles_backup (like public.articles);
create table public.comments_backup (like public.comments);
create table public.feedbacks_backup (like public.feedbacks);

do $$
declare
  name text;
begin
  foreach name in array array[
    'admin_users', 'articles', 'comments', 'feedbacks', 'backend_logs', 'app_logs', 'system_logs',
    'alert_subscriptions', 'alert_subscribers', 'backup_logs', 'backup_articles', 'backup_comments',
    'backup_feedbacks', 'backend_logs_backup', 'app_logs_backup', 'system_logs_backup'
  ] loop
    execute format('alter table public.%I enable row level security', name);
  end loop;
  foreach name in array array['backup_articles', 'backup_comments', 'backup_feedbacks'] loop
    execute format('create policy %I on public.%I for all using (true)',
      'Enable all operations for ' || name, name);
  end loop;
  foreach name in array array['backend_logs_backup', 'app_logs_backup', 'system_logs_backup'] loop
    execute format('create policy %I on public.%I for all using (exists (select from public.admin_users where id = auth.uid()))',
      'Admin access to ' || name, name);
  end loop;
end
$$;

create policy articles_read on public.articles for select using (published);
create policy articles_admin on public.articles for all using (auth.role() = 'authenticated');
create policy comments_read on public.comments for select using (true);
create policy comments_insert on public.comments for insert with check (true);
create policy feedbacks_all on public.feedbacks for all using (true);
create policy "Admin access to backend_logs" on public.backend_logs for all using (auth.role() = 'authenticated');
create policy "Admin access to app_logs" on public.app_logs for all using (auth.role() = 'authenticated');
create policy public_system_logs_policy on public.system_logs for select using (true);
create policy service_system_logs_policy on public.system_logs for insert with check (auth.role() = 'service_role');
create policy "Admin access to system_logs" on public.system_logs for all using (auth.role() = 'authenticated');
create policy "Admin access to alert_subscriptions" on public.alert_subscriptions for all using (auth.role() = 'authenticated');
create policy backup_logs_policy on public.backup_logs for all using (auth.role() = 'authenticated');

create function public.insert_system_log(p_type text, p_message text, p_context jsonb default null) returns void
  language plpgsql security definer as $$
begin
  insert into system_logs (type, message, context) values (p_type, p_message, p_context);
end
$$;

create function public.insert_app_log(
  p_level text, p_source text, p_action text, p_details jsonb default null, p_user_id text default null
) returns void
  language plpgsql security definer as $$
begin
  insert into app_logs (level, source, action, details, user_id)
  values (p_level, p_source, p_action, p_details, p_user_id);
end
$$;

-- Only these types make an alert, and the alert is but another row.
create function public.process_automatic_alert() returns trigger
  language plpgsql security definer as $$
declare
  alert jsonb;
begin
  if tg_table_name = 'app_logs' then
    if new.level = 'error' then
      alert := jsonb_build_object(
        'type', 'error',
        'source', new.source,
        'message', format('Erro na aplicação: %s - %s', new.source, new.action),
        'details', coalesce(new.details, '{}'));
    end if;
  elsif new.type in ('security', 'database', 'api', 'error') then
    alert := jsonb_build_object(
      'type', case new.type when 'security' then 'critical' else 'error' end,
      'source', new.type,
      'message', new.message,
      'details', coalesce(new.context, '{}'));
  end if;
  if alert is null then
    return new;
  end if;

  insert into system_logs (type, message, context)
  values ('alert_generated', 'Alerta automático gerado: ' || (alert ->> 'message'),
    jsonb_build_object('alert_payload', alert, 'trigger_table', tg_table_name));
  return new;
end
$$;

create trigger trigger_app_logs_alert after insert on public.app_logs
  for each row execute function public.process_automatic_alert();
create trigger trigger_system_logs_alert after insert on public.system_logs
  for each row execute function public.process_automatic_alert();

create function public.backup_all_data() returns json
  language plpgsql security definer as $$
declare
  generation uuid := gen_random_uuid();
  articles_count int;
  comments_count int;
  feedbacks_count int;
  backend_logs_count int;
  app_logs_count int;
  system_logs_count int;
  total int;
begin
  truncate table backend_logs_backup;
  truncate table app_logs_backup;
  truncate table system_logs_backup;

  insert into backup_articles (
    backup_id, original_id, title, excerpt, content, image_url, published, category_id, author_id, slug, tags,
    approval_rate, positive_feedback, negative_feedback, total_views, total_likes, positive_feedbacks,
    negative_feedbacks, comments_count, likes_count, is_featured, is_featured_manual, created_at, updated_at,
    backup_created_at)
  select
    generation, a.id, a.title, a.excerpt, a.content, a.image_url, a.published, a.category_id, a.author_id, a.slug, a.tags,
    a.approval_rate, a.positive_feedback, a.negative_feedback, a.total_views, a.total_likes, a.positive_feedbacks,
    a.negative_feedbacks, a.comments_count, a.likes_count, a.is_featured, a.is_featured_manual, a.created_at, a.updated_at,
    now()
  from articles a;
  get diagnostics articles_count = row_count;

  insert into backup_comments (backup_id, original_id, article_id, user_name, content, created_at, backup_created_at)
  select generation, c.id, c.article_id, c.user_name, c.content, c.created_at, now()
  from comments c;
  get diagnostics comments_count = row_count;

  insert into backup_feedbacks (backup_id, original_id, article_id, type, user_id, content, created_at, backup_created_at)
  select generation, f.id, f.article_id, f.type, f.user_id, f.content, f.created_at, now()
  from feedbacks f;
  get diagnostics feedbacks_count = row_count;

  insert into backend_logs_backup (id, table_name, action, record_id, old_data, new_data, performed_by, created_at)
  select l.id, l.table_name, l.action, l.record_id, l.old_data, l.new_data, l.performed_by, l.created_at
  from backend_logs l
  where l.created_at >= now() - interval '30 days';
  get diagnostics backend_logs_count = row_count;

  insert into app_logs_backup (id, level, source, action, details, user_id, created_at)
  select l.id, l.level, l.source, l.action, l.details, l.user_id, l.created_at
  from app_logs l
  where l.created_at >= now() - interval '30 days';
  get diagnostics app_logs_count = row_count;

  insert into system_logs_backup (id, type, message, context, created_at)
  select l.id, l.type, l.message, l.context, l.created_at
  from system_logs l
  where l.created_at >= now() - interval '30 days';
  get diagnostics system_logs_count = row_count;

  total := articles_count + comments_count + feedbacks_count + backend_logs_count + app_logs_count + system_logs_count;

  insert into system_logs (type, message, context)
  values ('backup', 'Backup completo realizado com sucesso, com logs', jsonb_build_object(
    'backup_id', generation, 'total_records', total,
    'articles', articles_count, 'comments', comments_count, 'feedbacks', feedbacks_count,
    'backend_logs', backend_logs_count, 'app_logs', app_logs_count, 'system_logs', system_logs_count));

  insert into backup_logs (action_type, records_affected, details, success)
  values ('backup', total, format('Backup ID: %s - Articles: %s, Comments: %s, Feedbacks: %s, Backend Logs: %s, App Logs: %s, System Logs: %s',
    generation, articles_count, comments_count, feedbacks_count, backend_logs_count, app_logs_count, system_logs_count), true);

  return json_build_object(
    'success', true,
    'message', 'Backup completo concluído com sucesso, com logs',
    'backup_id', generation,
    'total_records', total,
    'articles_count', articles_count,
    'comments_count', comments_count,
    'feedbacks_count', feedbacks_count,
    'backend_logs_count', backend_logs_count,
    'app_logs_count', app_logs_count,
    'system_logs_count', system_logs_count);
exception when others then
  insert into system_logs (type, message, context)
  values ('error', 'Erro durante backup completo', jsonb_build_object('error', sqlerrm, 'backup_id', generation));

  insert into backup_logs (action_type, records_affected, details, success)
  values ('backup', 0, format('Erro: %s (Backup ID: %s)', sqlerrm, generation), false);

  return json_build_object(
    'success', false,
    'message', 'Erro durante o backup',
    'error', sqlerrm,
    'backup_id', generation);
end
$$;

alter function public.backup_all_data() set statement_timeout = '10min';
alter function public.backup_all_data() set synchronous_commit = off;
alter function public.backup_all_data() set lock_timeout = '30s';
alter function public.backup_all_data() set idle_in_transaction_session_timeout = '5min';
comment on function public.backup_all_data() is 'Cria um backup completo, com os logs dos últimos 30 dias';

-- It compares a uuid with a number, and so fails whatever there is to restore.
create function public.restore_from_backup() returns jsonb
  language plpgsql security definer as $$
declare
  latest uuid := (select backup_id from backup_articles order by backup_created_at desc limit 1);
begin
  if latest is null then
    return jsonb_build_object('success', false, 'message', 'Nenhum backup encontrado para restaurar');
  end if;

  delete from comments where id > 0;
  delete from feedbacks where id > 0;
  delete from articles where id > 0;
  insert into articles (id, title, excerpt, content, image_url, published, category_id, author_id, slug, meta_title, meta_description)
  select original_id, title, excerpt, content, image_url, published, category_id, author_id, slug, meta_title, meta_description
  from backup_articles
  where backup_id = latest;

  return jsonb_build_object('success', true, 'message', 'Restauração concluída com sucesso', 'backup_id', latest);
exception when others then
  insert into backup_logs (action_type, records_affected, details, success)
  values ('restore', 0, format('Erro na restauração: %s', sqlerrm), false);
  return jsonb_build_object('success', false, 'message', 'Erro durante a restauração', 'error', sqlerrm);
end
$$;

create function public.get_backup_logs(limit_count int default 10)
  returns table (
    id uuid, action_type varchar(20), created_at timestamptz, records_affected int, details text, success boolean)
  language plpgsql security definer as $$
begin
  return query
    select l.id, l.action_type, l.created_at, l.records_affected, l.details, l.success
    from backup_logs l
    order by l.created_at desc
    limit limit_count;
end
$$;

create function public.get_system_logs(p_type text default null, p_limit int default 50, p_offset int default 0)
  returns setof public.system_logs
  language sql stable security definer as $$
  select * from public.system_logs
  where p_type is null or type = p_type
  order by created_at desc
  limit p_limit offset p_offset
  $$;

create function public.get_system_logs_stats() returns jsonb
  language sql stable security definer as $$
  select jsonb_build_object(
    'total', count(*),
    'error', count(*) filter (where type = 'error'),
    'warning', count(*) filter (where type = 'warning'),
    'info', count(*) filter (where type = 'info'))
  from public.system_logs
  $$;

-- The addresses are of a machine that does not exist: nothing leaves it.
create function public.call_nodejs_email_endpoint(recipients jsonb, alert_data jsonb) returns jsonb
  language plpgsql security definer as $$
declare
  request_id bigint;
begin
  insert into system_logs (type, message, context)
  values ('email_attempt', 'Tentativa de envio de email', jsonb_build_object('recipients', recipients, 'alert', alert_data));
  request_id := net.http_post(
    url := 'http://127.0.0.1:9/api/send-alert-email',
    body := jsonb_build_object('recipients', recipients, 'alert', alert_data));
  -- Written before there is any answer.
  insert into system_logs (type, message, context)
  values ('email_success', 'Email enviado com sucesso', jsonb_build_object('request_id', request_id));
  return jsonb_build_object('success', true, 'request_id', request_id);
end
$$;

create function public.call_nodejs_email_endpoint(alert_data jsonb, recipients text[]) returns jsonb
  language sql security definer as $$
  select public.call_nodejs_email_endpoint(to_jsonb(recipients), alert_data)
  $$;

create function public.test_alert_system(
  alert_type text default 'test', test_message text default 'Teste do sistema de alertas via frontend'
) returns jsonb
  language plpgsql security definer as $$
declare
  recipients jsonb := (select jsonb_agg(email) from alert_subscriptions where is_active);
  result jsonb;
begin
  insert into system_logs (type, message, context)
  values ('test_alert', 'Teste iniciado via frontend', jsonb_build_object('alert_type', alert_type, 'test_message', test_message));
  if recipients is null then
    return jsonb_build_object('success', false, 'message', 'Nenhum assinante ativo encontrado');
  end if;
  result := call_nodejs_email_endpoint(recipients, jsonb_build_object(
    'type', alert_type, 'source', 'frontend_test_button', 'message', test_message, 'timestamp', now()));
  return jsonb_build_object('success', true, 'subscribers_count', jsonb_array_length(recipients), 'test_result', result);
end
$$;

-- Looking at the health writes an alert, each time, when it is bad.
create function public.check_backup_health() returns jsonb
  language plpgsql security definer as $$
declare
  last_backup timestamptz := (select max(created_at) from system_logs where type = 'backup_success');
  hours numeric := coalesce(extract(epoch from now() - last_backup) / 3600, 999);
  active_jobs int := (
    select count(*) from cron.job where jobname in ('auto-backup-daily', 'auto-backup-secondary') and active);
  status jsonb := jsonb_build_object(
    'last_backup_time', last_backup,
    'hours_since_backup', hours,
    'backup_overdue', hours > 25,
    'cron_jobs_active', active_jobs,
    'cron_jobs_expected', 2,
    'system_healthy', hours <= 25 and active_jobs = 2,
    'checked_at', now());
begin
  if hours > 25 then
    insert into system_logs (type, message, context)
    values ('backup_overdue_alert', 'ALERTA: nenhum backup automático há mais de 25 horas', status);
  end if;
  return status;
end
$$;

create function public.get_backup_cron_status()
  returns table (jobname text, schedule text, active boolean, description text)
  language sql stable security definer as $$
  select j.jobname::text, j.schedule, j.active,
    case j.jobname::text when 'auto-backup-daily' then 'Backup principal' else 'Backup secundário' end
  from cron.job j
  where j.jobname in ('auto-backup-daily', 'auto-backup-secondary')
  order by j.jobname
  $$;

create function public.cleanup_old_logs(days_to_keep int default 90) returns jsonb
  language plpgsql security definer as $$
declare
  limit_date timestamptz := now() - make_interval(days => days_to_keep);
  deleted int;
  total int := 0;
begin
  delete from backend_logs where created_at < limit_date;
  get diagnostics deleted = row_count;
  total := total + deleted;
  delete from app_logs where created_at < limit_date;
  get diagnostics deleted = row_count;
  total := total + deleted;
  delete from system_logs where created_at < limit_date;
  get diagnostics deleted = row_count;
  total := total + deleted;
  insert into system_logs (type, message, context)
  values ('cleanup', 'Limpeza automática de logs', jsonb_build_object('days_to_keep', days_to_keep, 'total_deleted', total));
  return jsonb_build_object('success', true, 'cutoff_date', limit_date, 'total', total);
end
$$;

create function public.cleanup_old_logs_enhanced(days_to_keep int default 90)
  returns table (table_name text, deleted_count bigint, oldest_remaining timestamptz, cleanup_timestamp timestamptz)
  language plpgsql security definer as $$
declare
  name text;
  deleted bigint;
  oldest timestamptz;
begin
  foreach name in array array['backend_logs', 'app_logs', 'system_logs'] loop
    execute format('delete from %I where created_at < $1', name) using now() - make_interval(days => days_to_keep);
    get diagnostics deleted = row_count;
    execute format('select min(created_at) from %I', name) into oldest;
    return query select name, deleted, oldest, now();
  end loop;
end
$$;

-- It deletes rows of logs, but no backup.
create function public.cleanup_old_backups() returns json
  language plpgsql security definer as $$
declare
  backup_rows int;
  other_rows int;
begin
  delete from system_logs
  where type in ('backup_success', 'backup_start', 'backup_error') and created_at < now() - interval '90 days';
  get diagnostics backup_rows = row_count;
  delete from system_logs
  where type not in ('backup_success', 'backup_start', 'backup_error') and created_at < now() - interval '30 days';
  get diagnostics other_rows = row_count;
  insert into system_logs (type, message, context)
  values ('backup_cleanup_success', 'Limpeza de logs concluída',
    jsonb_build_object('deleted_backup_logs', backup_rows, 'deleted_other_logs', other_rows));
  return json_build_object('success', true, 'deleted_backup_logs', backup_rows, 'deleted_other_logs', other_rows);
end
$$;

create function public.get_cron_jobs() returns table (id int, schedule text, command text, active boolean)
  language sql stable security definer set search_path = public as $$
  select jobid::int, schedule, command, active from cron.job order by jobid
  $$;

create function public.get_cron_runs(limit_count int default 20)
  returns table (
    jobid int, job_id int, jobname text, status text, run_started timestamptz, run_ended timestamptz, return_message text)
  language sql stable security definer set search_path = public as $$
  select r.jobid::int, r.jobid::int, j.jobname::text, r.status, r.start_time, r.end_time, r.return_message
  from cron.job_run_details r
  left join cron.job j on j.jobid = r.jobid
  order by r.start_time desc
  limit limit_count
  $$;

-- pg_cron has no such columns: it raises.
create function public.get_cron_job_status() returns jsonb
  language plpgsql security definer set search_path = public as $$
begin
  return (select jsonb_agg(to_jsonb(d)) from (select jobid, run_started, run_ended from cron.job_run_details) d);
end
$$;

create function public.publish_due_articles() returns int
  language plpgsql security definer set search_path = public as $$
declare
  changed int;
begin
  update articles
  set published = true, scheduling_status = 'published', updated_at = now()
  where scheduling_status = 'scheduled' and scheduled_for <= now();
  get diagnostics changed = row_count;
  return changed;
end
$$;

create function public.alert_overdue_publications() returns int
  language sql stable security definer set search_path = public as $$
  select count(*)::int from articles
  where scheduling_status = 'scheduled' and scheduled_for < now() - interval '5 minutes'
  $$;

-- What the application's own migrations take away from PUBLIC. The default
-- privileges gave it to anon by name, and so it keeps it.
revoke all on function public.get_cron_jobs() from public;
revoke all on function public.get_cron_runs(int) from public;
revoke all on function public.publish_due_articles() from public;
revoke all on function public.alert_overdue_publications() from public;
