-- The real pg_cron, owned by supabase_admin and in pg_catalog. On Supabase, an
-- event trigger and a script that runs after CREATE EXTENSION see to that,
-- whoever creates it, and grant postgres every function and all of the history,
-- but only a look at cron.job, whose row level security stays as pg_cron makes
-- it. Here one event trigger does both. It does the same for pg_net and
-- supabase_vault, the real ones as well as their stand-ins, which postgres may
-- create, too, but not own.

create function extensions.grant_pg_cron_access() returns event_trigger
  language plpgsql security definer
  set search_path = '' set allow_system_table_mods = on
  as $$
declare
  created record;
begin
  for created in
    select e.oid, e.extname
    from pg_catalog.pg_event_trigger_ddl_commands() c
    join pg_catalog.pg_extension e on c.classid = 'pg_catalog.pg_extension'::pg_catalog.regclass and e.oid = c.objid
    where e.extname in ('pg_cron', 'pg_net', 'supabase_vault')
  loop
    update pg_catalog.pg_extension
    set extowner = 'supabase_admin'::pg_catalog.regrole
    where oid = created.oid;
    delete from pg_catalog.pg_shdepend
    where classid = 'pg_catalog.pg_extension'::pg_catalog.regclass and objid = created.oid and deptype = 'o';

    if created.extname = 'pg_cron' then
      grant usage on schema cron to postgres with grant option;
      grant all on all functions in schema cron to postgres with grant option;
      grant all on all tables in schema cron to postgres with grant option;
      revoke trigger on all tables in schema cron from postgres;
      revoke all on table cron.job from postgres;
      grant select on table cron.job to postgres with grant option;

      alter default privileges for role supabase_admin in schema cron
        grant all on tables to postgres with grant option;
      alter default privileges for role supabase_admin in schema cron
        grant all on functions to postgres with grant option;
      alter default privileges for role supabase_admin in schema cron
        grant all on sequences to postgres with grant option;
    elsif created.extname = 'pg_net' then
      grant usage on schema net to postgres, anon, authenticated, service_role;
    else
      grant usage on schema vault to postgres with grant option;
      grant select, delete on vault.secrets, vault.decrypted_secrets to postgres with grant option;
      grant execute on function vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
        to postgres with grant option;
      grant usage on schema vault to service_role;
      grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;
      grant execute on function vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
        to service_role;
    end if;
  end loop;
end
$$;

create event trigger issue_pg_cron_access on ddl_command_end
  when tag in ('CREATE EXTENSION')
  execute function extensions.grant_pg_cron_access();

create extension pg_cron;
create extension supabase_vault;
create extension pg_net with schema extensions;
