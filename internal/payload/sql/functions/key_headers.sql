-- The headers with the project's public key for the gateway in front of Edge
-- Functions, as jsonb; none if the vault has no key that a header can contain.
-- Authorization accepts only a JWT.
create or replace function auto_backup.key_headers(backup text)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    key text;
begin
    begin
        select btrim(v.decrypted_secret, E' \t\r\n') into key
        from vault.decrypted_secrets v
        where v.name = key_headers.backup || '/alert-key';
        key := substring(key from '^[\x21-\x7e]+$');
    exception
        when others then
            key := null;
    end;
    return case when key is not null then jsonb_build_object('apikey', key) else '{}' end
        || case when key ~ '^eyJ[^.]*\.[^.]+\.[^.]+$' then jsonb_build_object('Authorization', 'Bearer ' || key) else '{}' end;
end
$body$;
