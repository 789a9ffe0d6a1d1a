-- The SHA-256 of the key with which a backup's watchdog calls the alert function, in
-- hexadecimal, or null if the vault has none that it can decrypt or one that belongs to
-- no backup. The key is public.
create or replace function auto_backup.key_digest(backup text)
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
        where v.name = key_digest.backup || '/alert-key'
        and (
            v.description = 'managed by terraform-provider-aimindset, backup ' || key_digest.backup
            or exists (select from auto_backup.settings s where s.backup = key_digest.backup)
        )
    );
exception
    -- A database that was restored into another project has another key.
    when internal_error or data_exception then
        return null;
end
$body$;
