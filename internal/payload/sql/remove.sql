-- Removes the dispatcher, the watchdog and their history, unless another backup is
-- installed or another apply than that of auto_backup.holder is in progress. The
-- lease of auto_backup.holder is released first, so of several destroys that end at
-- the same time the last one removes the schema. The jobs, the vault secrets and the
-- application's logs are not in this schema.
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
