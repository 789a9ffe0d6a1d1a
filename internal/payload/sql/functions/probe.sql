-- Calls the Edge Function to verify its token, its key and its tables, without making
-- a backup. Returns the ID of the pg_net request.
create or replace function auto_backup.probe(backup text)
returns bigint
language sql
set search_path = ''
as $body$
    select auto_backup.post(probe.backup, jsonb_build_object('action', 'probe', 'run_id', gen_random_uuid()), 30000)
$body$;
