-- The SHA-256 of a backup's invocation token as vault holds it, in hexadecimal,
-- or null where there is none that vault can decrypt. The token has 256 random
-- bits, so its digest tells nothing; roles that may not read vault compare it.
create or replace function auto_backup.token_digest(backup text)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $body$
begin
    return (
        select encode(sha256(convert_to(v.decrypted_secret, 'UTF8')), 'hex')
        from vault.decrypted_secrets v
        where v.name = token_digest.backup || '/token'
    );
exception
    -- A database restored into another project has another key.
    when internal_error or data_exception then
        return null;
end
$body$;
