-- Calls the Edge Function to verify one destination of copies: it writes, reads and
-- tries to delete an object there. Returns what auto_backup.probe returns, and the
-- "action" that auto_backup.is_probe_answer needs. `refused` is that of auto_backup.post.
create or replace function auto_backup.offsite_probe(backup text, destination text, refused integer default 0)
returns jsonb
language sql
set search_path = ''
set lock_timeout = '10s'
as $body$
    select jsonb_build_object(
        'id', auto_backup.post(
            offsite_probe.backup,
            jsonb_build_object('action', 'offsite_probe', 'run_id', u.run_id, 'destination', offsite_probe.destination),
            60000, offsite_probe.refused
        ),
        'run_id', u.run_id, 'posted_at', clock_timestamp(), 'action', 'offsite_probe'
    )
    from (select gen_random_uuid() as run_id offset 0) as u
$body$;
