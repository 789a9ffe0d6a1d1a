-- The SHA-256 of a backup's invocation token in the vault, in hexadecimal, or null if
-- the vault has none that it can decrypt. The token has 256 random bits, so its digest
-- reveals nothing. Roles that may not read the vault compare it. A secret that has such
-- a name but belongs to no backup may be a password, whose digest reveals much: for it,
-- the answer is null.
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
        and (
            v.description = 'managed by terraform-provider-aimindset, backup ' || token_digest.backup
            or exists (select from auto_backup.settings s where s.backup = token_digest.backup)
        )
    );
exception
    -- A database that was restored into another project has another key.
    when internal_error or data_exception then
        return null;
end
$body$;
