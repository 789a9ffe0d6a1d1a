-- A secret of a channel from the vault. It raises an error, which does not contain it, if
-- the vault has none that can be used.
create or replace function auto_backup.notify_secret(name text)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    value text;
    sound boolean;
begin
    begin
        select v.decrypted_secret into value from vault.decrypted_secrets v where v.name = notify_secret.name;
        -- A line break in a URL or a header would spoil also the next request on the connection.
        sound := case
            when name like '%/webhook-secret/%' then value ~ '^whsec_[A-Za-z0-9+/]{24,}={0,2}$' and length(decode(substr(value, 7), 'base64')) > 0
            else value ~ '^https?://[\x21-\x7e]+$' and length(value) <= 2000
        end;
    exception
        -- A database that was restored into another project has another key.
        when internal_error or data_exception then
            raise exception 'the vault secret "%" is damaged', name using errcode = 'AB002';
    end;
    if value is null then
        raise exception 'the vault secret "%" is missing', name using errcode = 'AB001';
    end if;
    if not sound then
        raise exception 'the vault secret "%" has no %', name, case when name like '%/webhook-secret/%' then 'signing secret' else 'URL' end
        using errcode = 'AB002';
    end if;
    return value;
end
$body$;
