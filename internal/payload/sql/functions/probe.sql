-- Calls the Edge Function to verify its token, its key and its tables, without making
-- a backup. Returns the ID of the pg_net request.
create or replace function auto_backup.probe(backup text)
returns bigint
language plpgsql
set search_path = ''
as $body$
declare
    document jsonb;
begin
    select s.document into document from auto_backup.settings s where s.backup = probe.backup;
    if not found then
        raise exception 'auto_backup: no backup "%" is installed', probe.backup using errcode = 'AB003';
    end if;
    return net.http_post(
        url := document #>> '{function,url}',
        headers := jsonb_build_object(
            'Content-Type', 'application/json', 'X-Backup-Token', auto_backup.token(probe.backup)
        )
        || case when (document #>> '{function,send_key}')::boolean then auto_backup.key_headers(probe.backup) else '{}' end,
        body := jsonb_build_object('action', 'probe', 'run_id', gen_random_uuid(), 'backup', probe.backup),
        timeout_milliseconds := 30000
    );
end
$body$;
