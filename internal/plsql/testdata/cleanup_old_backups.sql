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
