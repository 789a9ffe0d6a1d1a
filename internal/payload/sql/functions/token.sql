-- The invocation token of a backup, from the vault, with which requests are signed. It
-- raises an error if the vault has no intact one.
create or replace function auto_backup.token(backup text)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    secret constant text := token.backup || '/token';
    value text;
begin
    begin
        select v.decrypted_secret into value from vault.decrypted_secrets v where v.name = secret;
    exception
        -- A database that was restored into another project has another key.
        when internal_error or data_exception then
            raise exception 'auto_backup: the vault secret "%" is damaged, so no backup can be started: vault cannot decrypt it', secret
            using errcode = 'AB002', hint = 'Run "terraform apply".';
    end;
    if value is null then
        raise exception 'auto_backup: the vault secret "%" is missing, so no backup can be started', secret
        using errcode = 'AB001', hint = 'Run "terraform apply".';
    end if;
    if value !~ '^[A-Za-z0-9_-]{43}$' then
        raise exception 'auto_backup: the vault secret "%" is damaged, so no backup can be started: %', secret,
            case
                when value ~ '\s' then 'it contains white space or a line break'
                when length(value) <> 43 then format('it has %s characters instead of 43', length(value))
                else 'it contains characters that no token has'
            end
        using errcode = 'AB002', hint = 'Run "terraform apply".';
    end if;
    return value;
end
$body$;
