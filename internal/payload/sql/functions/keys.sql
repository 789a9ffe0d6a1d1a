-- The tokens with which the outcome of a run can be signed: that of the vault, and for
-- a run that was requested before it was replaced also its predecessor. Empty if the
-- vault has none that it can decrypt; then no outcome can be believed.
create or replace function auto_backup.keys(backup text, posted_at timestamptz)
returns bytea[]
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    secret text;
    value text;
    changed_at timestamptz;
    found bytea[] := '{}';
begin
    foreach secret in array array['/token', '/former-token'] loop
        begin
            select v.decrypted_secret, case secret when '/token' then v.updated_at else changed_at end
            into value, changed_at
            from vault.decrypted_secrets v
            where v.name = keys.backup || secret;
            if value <> '' and (secret = '/token' or keys.posted_at <= changed_at + interval '1 second') then
                found := found || convert_to(value, 'UTF8');
            end if;
        exception
            -- A database that was restored into another project has another key.
            when internal_error or data_exception then null;
        end;
    end loop;
    return found;
end
$body$;
