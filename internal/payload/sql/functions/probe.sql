-- Calls the Edge Function to verify its token, its key and its tables, without making
-- a backup. Returns {"id", "run_id", "posted_at"}: the pg_net request, what its answer
-- has to name, and since when it was signed. `refused` is that of auto_backup.post, and
-- "id" is null if there is no other way to show the keys.
create or replace function auto_backup.probe(backup text, refused integer default 0)
returns jsonb
language sql
set search_path = ''
set lock_timeout = '10s'
as $body$
    select jsonb_build_object(
        'id', auto_backup.post(probe.backup, jsonb_build_object('action', 'probe', 'run_id', u.run_id), 30000, probe.refused),
        'run_id', u.run_id, 'posted_at', clock_timestamp()
    )
    from (select gen_random_uuid() as run_id offset 0) as u
$body$;
