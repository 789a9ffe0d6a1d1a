-- The extensions that a backup needs. Each is created where Supabase keeps it; one that
-- is there is left as it is. Two applies at once would fail over one that neither
-- finds, so the lock of all scripts comes first.
create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;
create extension if not exists supabase_vault with schema vault cascade;
