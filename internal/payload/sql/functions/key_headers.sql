-- The headers with the project's public keys for the gateway in front of Edge
-- Functions, as jsonb; none if the vault has no key that a header can contain. The
-- vault's secret has the publishable key and, on a second line, the legacy anon key,
-- which is a JWT; or only one of them.
--
-- There are two ways, because gateways differ: the publishable key as apikey, which is
-- today's; and the other one, with the anon key as bearer token beside it. Returns null
-- for the other way if the project does not have both keys.
create or replace function auto_backup.key_headers(backup text, other boolean default false)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    keys text[];
begin
    begin
        select regexp_match(
            btrim(v.decrypted_secret, E' \t\r\n'), '^([\x21-\x7e]+)(?:\n(eyJ[^.\s]*\.[^.\s]+\.[^.\s]+))?$'
        ) into keys
        from vault.decrypted_secrets v
        where v.name = key_headers.backup || '/alert-key';
    exception
        when others then null;
    end;
    if other then
        return case when keys[2] is not null then jsonb_build_object('apikey', keys[1], 'Authorization', 'Bearer ' || keys[2]) end;
    end if;
    return case when keys[1] is not null then jsonb_build_object('apikey', keys[1]) else '{}' end
        -- A project without a publishable key.
        || case when keys[1] ~ '^eyJ[^.]*\.[^.]+\.[^.]+$' then jsonb_build_object('Authorization', 'Bearer ' || keys[1]) else '{}' end;
end
$body$;
