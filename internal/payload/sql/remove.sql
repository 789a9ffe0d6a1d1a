-- Removes the dispatcher, the watchdog and their history, unless another backup is
-- installed or another apply than that of auto_backup.holder is in progress. The
-- lease of auto_backup.holder is released first, so of several destroys that end at
-- the same time the last one removes the schema, and nothing is left to release. The
-- jobs, the vault secrets and the application's logs are not in this schema. The role
-- auto_backup_agent is kept if it is still used: by another database of this server,
-- or because somebody has granted it more.
do $do$
declare
    needed boolean := false;
    relation pg_catalog.regclass;
begin
    if pg_catalog.to_regclass('auto_backup.installation') is not null then
        perform from auto_backup.installation i for update;
    end if;
    if pg_catalog.to_regclass('auto_backup.settings') is not null then
        select exists (select from auto_backup.settings) into needed;
    end if;
    if pg_catalog.to_regclass('auto_backup.leases') is not null then
        delete from auto_backup.leases l where l.holder = pg_catalog.current_setting('auto_backup.holder', true);
        if not needed then
            select exists (
                select from auto_backup.leases l where l.expires_at > pg_catalog.clock_timestamp()
            ) into needed;
        end if;
    end if;
    if not needed then
        drop schema if exists auto_backup cascade;
        if pg_catalog.to_regrole('auto_backup_agent') is not null then
            begin
                for relation in
                    with log (oid) as (
                        select c.oid
                        from pg_catalog.pg_class c
                        where c.oid in (pg_catalog.to_regclass('public.system_logs'), pg_catalog.to_regclass('public.backup_logs'))
                    )

                    select l.oid from log l
                    union all
                    select q.oid
                    from log l
                    inner join pg_catalog.pg_attrdef x on x.adrelid = l.oid
                    inner join pg_catalog.pg_depend d
                        on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = x.oid
                        and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    inner join pg_catalog.pg_class q on q.oid = d.refobjid and q.relkind = 'S'
                loop
                    if exists (select from pg_catalog.pg_policy y where y.polrelid = relation and y.polname = 'auto_backup_agent') then
                        execute pg_catalog.format('drop policy auto_backup_agent on %s', relation);
                    end if;
                    execute pg_catalog.format('revoke all on %s from auto_backup_agent', relation);
                end loop;
                revoke usage on schema public from auto_backup_agent;
                drop role auto_backup_agent;
            exception
                when dependent_objects_still_exist or insufficient_privilege then null;
            end;
        end if;
    end if;
end
$do$;
