-- The SHA-256 of each secret of a backup's heartbeat and webhooks, in hexadecimal, by the
-- name of the vault's secret; null for one that the vault does not have or cannot
-- decrypt. Roles that may not read the vault compare them. The names come from the
-- settings, so nothing is said about the secrets of others. Null if the settings or the
-- vault cannot be read: a plan has to say what is wrong with them.
create or replace function auto_backup.channel_digests(backup text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    secret text;
    digest text;
    digests jsonb := '{}';
begin
    for secret in
        select s.backup || '/heartbeat'
        from auto_backup.settings s
        where s.backup = channel_digests.backup and jsonb_typeof(s.document -> 'heartbeat') = 'object'
        union all
        select s.backup || n.name
        from auto_backup.settings s
        cross join jsonb_each(case jsonb_typeof(s.document -> 'webhooks') when 'object' then s.document -> 'webhooks' end) w
        cross join lateral (
            select '/webhook/' || w.key
            union all
            select '/webhook-secret/' || w.key where w.value -> 'signed' = 'true'
        ) as n (name)
        where s.backup = channel_digests.backup
    loop
        digest := null;
        begin
            select encode(sha256(convert_to(v.decrypted_secret, 'UTF8')), 'hex') into digest
            from vault.decrypted_secrets v
            where v.name = secret;
        exception
            -- A database that was restored into another project has another key.
            when internal_error or data_exception then null;
        end;
        digests := digests || jsonb_build_object(secret, digest);
    end loop;
    return digests;
exception
    when others then return null;
end
$body$;
