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
