-- Revokes all privileges on schema auto_backup from everybody but its owner. This
-- comes after the functions, because PostgreSQL lets everybody execute a new
-- function. Privileges that a user has granted to other roles are kept.
revoke all on schema auto_backup from public cascade;
revoke all on all tables in schema auto_backup from public cascade;
revoke all on all sequences in schema auto_backup from public cascade;
revoke all on all functions in schema auto_backup from public cascade;

-- The view history calls this with the rights of the role that reads the view. Only
-- roles that may use the schema can call it themselves, and it says no more than the
-- view.
grant execute on function auto_backup.outcomes() to public;

do $do$
declare
    role name;
begin
    foreach role in array array['anon', 'authenticated', 'service_role', 'authenticator', 'supabase_read_only_user', 'auto_backup_agent']::name[] loop
        if pg_catalog.to_regrole(role::text) is not null then
            execute pg_catalog.format('revoke all on schema auto_backup from %I cascade', role);
            execute pg_catalog.format('revoke all on all tables in schema auto_backup from %I cascade', role);
            execute pg_catalog.format('revoke all on all sequences in schema auto_backup from %I cascade', role);
            execute pg_catalog.format('revoke all on all functions in schema auto_backup from %I cascade', role);
        end if;
    end loop;

    -- A plan reads with this role, and an apply awaits the answer to a probe with it. It
    -- may compare the digests of the token and of the channels' secrets, and verify an
    -- answer, but read no secret.
    if pg_catalog.to_regrole('supabase_read_only_user') is not null then
        grant usage on schema auto_backup to supabase_read_only_user;
        grant execute on function
            auto_backup.token_digest(text), auto_backup.key_digest(text), auto_backup.channel_digests(text), auto_backup.drift(), auto_backup.catalog(text),
            auto_backup.is_probe_answer(text, jsonb, text)
        to supabase_read_only_user;
    end if;
end
$do$;
