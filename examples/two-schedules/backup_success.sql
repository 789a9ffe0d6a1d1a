-- Makes the backup and tells the health panel of it. Run this once, in the SQL
-- editor or as a migration, before "terraform apply".
--
-- The row is written in the transaction of the backup: there is none without
-- the other. The time limit is that of backup_all_data(): PostgREST reads it
-- from the function that it calls.
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

-- Supabase lets every role execute new functions; this one is for the backup.
revoke all on function public.backup_all_data_for_panel() from public, anon, authenticated;
grant execute on function public.backup_all_data_for_panel() to service_role;
