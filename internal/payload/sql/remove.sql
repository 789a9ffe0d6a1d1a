-- Removes the dispatcher, the watchdog and their history, unless another backup
-- is installed or being installed by another apply than auto_backup.holder. The jobs that call them, the vault secrets
-- and the application's logs are not in this schema.
do $do$
declare
    needed boolean := false;
begin
    if pg_catalog.to_regclass('auto_backup.settings') is not null then
        select exists (select from auto_backup.settings) into needed;
    end if;
    if not needed and pg_catalog.to_regclass('auto_backup.leases') is not null then
        select exists (
            select from auto_backup.leases l
            where l.expires_at > pg_catalog.clock_timestamp()
            and l.holder is distinct from pg_catalog.current_setting('auto_backup.holder', true)
        ) into needed;
    end if;
    if not needed then
        drop schema if exists auto_backup cascade;
    end if;
end
$do$;
