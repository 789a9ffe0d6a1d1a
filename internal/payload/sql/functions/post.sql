-- Queues a request to a backup's Edge Function, and returns the ID of the pg_net
-- request. pg_net's queue and its responses can be read by every role, so the token
-- itself is never sent: it signs the body, which contains the time. The function
-- refuses a body that was changed or that is older than 15 minutes.
--
-- The function itself needs no key of the project, but a gateway in front of it may.
-- `refused` says how many ways to show the keys it has refused (401) so far. Returns
-- null if there is no other way.
create or replace function auto_backup.post(backup text, body jsonb, timeout_milliseconds integer, refused integer default 0)
returns bigint
language plpgsql
set search_path = ''
as $body$
declare
    document jsonb;
    keys jsonb;
    signed constant jsonb := post.body || jsonb_build_object(
        'backup', post.backup, 'sent_at', auto_backup.rfc3339(clock_timestamp())
    );
begin
    select s.document into document from auto_backup.settings s where s.backup = post.backup;
    if not found then
        raise exception 'auto_backup: no backup "%" is installed', post.backup using errcode = 'AB003';
    end if;
    if coalesce(document #>> '{function,url}', '') = '' then
        raise exception 'auto_backup: the settings of backup "%" lack the function''s URL', post.backup
        using errcode = 'AB003';
    end if;
    -- A self-hosted runtime may require a JWT for every function. Otherwise the first
    -- way is to show no key.
    keys := case post.refused + coalesce((document #>> '{function,send_key}')::boolean, false)::integer
        when 0 then '{}'
        when 1 then auto_backup.key_headers(post.backup)
        when 2 then auto_backup.key_headers(post.backup, other => true)
    end;
    if keys is null or (post.refused > 0 and keys = '{}') then
        return null;
    end if;
    return auto_backup.request(
        url := document #>> '{function,url}',
        headers := jsonb_build_object(
            'Content-Type', 'application/json',
            -- pg_net sends a jsonb body as PostgreSQL prints it.
            'X-Backup-Signature', encode(
                auto_backup.hmac(
                    convert_to(signed::text, 'UTF8'), convert_to(auto_backup.token(post.backup), 'UTF8')
                ), 'hex'
            )
        ) || keys,
        body := signed,
        timeout_milliseconds := post.timeout_milliseconds
    );
end
$body$;
