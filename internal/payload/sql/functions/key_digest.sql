-- The SHA-256 of the keys with which a backup's watchdog calls the alert function, one
-- for each line of the vault's secret, in hexadecimal and separated by spaces; or null
-- if the vault has no secret that it can decrypt or one that belongs to no backup. The
-- keys are public.
create or replace function auto_backup.key_digest(backup text)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $body$
begin
    return (
        select string_agg(encode(sha256(convert_to(t.line, 'UTF8')), 'hex'), ' ' order by t.n)
        from vault.decrypted_secrets v
        cross join string_to_table(v.decrypted_secret, E'\n') with ordinality as t (line, n)
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
