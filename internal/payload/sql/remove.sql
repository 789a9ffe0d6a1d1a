-- Removes the dispatcher, the watchdog and their history, unless another backup
-- is installed, or another apply than auto_backup.holder is at work here. That
-- one has nothing left to do for which it needs its lease, so applies that end
-- at the same time do not wait for each other's leases: the last one removes.
-- The jobs that call the dispatcher, the vault secrets and the application's
-- logs are not in this schema.
do $do$
declare
    needed boolean := false;
begin
    if pg_catalog.to_regclass('auto_backup.installation') is not null then
        perform from auto_backup.installation i for update;
    end if;
    if pg_catalog.to_regclass('auto_backup.settings') is not null then
        select exists (select from auto_backup.settings) into needed;
    end if;
    if pg_catalog.to_regclass('auto_backup.leases') is not null then
        update auto_backup.leases l set expires_at = pg_catalog.clock_timestamp()
        where l.holder = pg_catalog.current_setting('auto_backup.holder', true);
        if not needed then
            select exists (
                select from auto_backup.leases l where l.expires_at > pg_catalog.clock_timestamp()
            ) into needed;
        end if;
    end if;
    if not needed then
        drop schema if exists auto_backup cascade;
    end if;
end
$do$;
