-- Makes a backup and records it for the health panel. Run this once, in the SQL
-- editor or as a migration, before "terraform apply".
--
-- The row is written in the transaction of the backup, so neither exists without
-- the other. The statement timeout has to be repeated here, because PostgREST
-- reads it from the function that it calls.
create or replace function public.backup_all_data_for_panel() returns json
language plpgsql
security definer
set search_path = public, pg_temp
set statement_timeout = '10min'
as $$
declare
  result json := public.backup_all_data();
begin
  if (result ->> 'success')::boolean then
    insert into public.system_logs (type, message, context)
    values ('backup_success', 'Backup automático concluído com sucesso', result::jsonb);
  end if;
  return result;
end
$$;

-- Supabase lets every role execute new functions; only the backup needs this one.
revoke all on function public.backup_all_data_for_panel() from public, anon, authenticated;
grant execute on function public.backup_all_data_for_panel() to service_role;
