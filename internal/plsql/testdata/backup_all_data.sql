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
