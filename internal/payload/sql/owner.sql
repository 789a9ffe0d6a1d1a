-- Makes postgres the owner of the schema and everything in it, so that it can be
-- changed. A pg_cron job belongs to the role that schedules it, which must be
-- postgres too: another role's job of the same name would be a second job. Functions
-- of auto_backup_agent are left to agent.sql.
do $do$
declare
    o record;
    joined boolean;
    earlier jsonb;
    -- Since PostgreSQL 16, a role is a member of the roles that it has created and
    -- has none of their rights until it grants them to itself.
    modern constant boolean := pg_catalog.current_setting('server_version_num')::integer >= 160000;
begin
    if current_user <> 'postgres' then
        raise exception 'the current role is %, but the jobs must belong to postgres; connect as postgres', current_user;
    end if;
    for o in
        select 1 as rank, 'schema' as kind, 'auto_backup' as name, pg_catalog.pg_get_userbyid(n.nspowner) as owner
        from pg_catalog.pg_namespace n
        where n.nspname = 'auto_backup'
        union all
        select
            2, case c.relkind when 'v' then 'view' else 'table' end, 'auto_backup.' || pg_catalog.quote_ident(c.relname),
            pg_catalog.pg_get_userbyid(c.relowner)
        from pg_catalog.pg_class c
        where c.relnamespace = pg_catalog.to_regnamespace('auto_backup') and c.relkind in ('r', 'v')
        union all
        select 3, 'function', p.oid::pg_catalog.regprocedure::text, pg_catalog.pg_get_userbyid(p.proowner)
        from pg_catalog.pg_proc p
        where p.pronamespace = pg_catalog.to_regnamespace('auto_backup') and p.prokind = 'f'
        order by rank
    loop
        continue when o.owner = current_user or (o.kind = 'function' and o.owner = 'auto_backup_agent');
        begin
            -- Changing the owner needs the rights of the owning role. Postgres can grant
            -- them to itself: before PostgreSQL 16 unless that role is a superuser, since
            -- then if postgres has created it.
            joined := not pg_catalog.pg_has_role(o.owner, case when modern then 'usage' else 'member' end);
            if joined then
                select pg_catalog.to_jsonb(m) into earlier
                from pg_catalog.pg_auth_members m
                where m.roleid = o.owner::pg_catalog.regrole and m.member = current_user::pg_catalog.regrole
                and m.grantor = current_user::pg_catalog.regrole;
                execute pg_catalog.format('grant %I to %I', o.owner, current_user)
                    || case when modern then ' with inherit true' else '' end;
            end if;
            execute pg_catalog.format('alter %s %s owner to %I', o.kind, o.name, current_user);
            if joined and earlier is null then
                execute pg_catalog.format('revoke %I from %I', o.owner, current_user);
            elsif joined then
                execute pg_catalog.format('grant %I to %I with inherit %s', o.owner, current_user, earlier ->> 'inherit_option');
            end if;
        exception
            when insufficient_privilege then
                -- The owner of a schema may drop objects of other roles in it, and
                -- nothing is lost with a view or a function.
                if o.kind in ('view', 'function') then
                    execute pg_catalog.format('drop %s %s', o.kind, o.name);
                else
                    raise exception 'the % % belongs to role %, and postgres may not change it', o.kind, o.name, o.owner
                    using errcode = 'AB011', hint = pg_catalog.format(
                        'As %s or a superuser (on Supabase, ask its support), run: alter %s %s owner to postgres', o.owner, o.kind, o.name
                    );
                end if;
        end;
    end loop;
    -- An owner can revoke its own privileges, and grant them again.
    if pg_catalog.to_regnamespace('auto_backup') is not null then
        grant all on schema auto_backup to current_user;
        grant all on all tables in schema auto_backup to current_user;
        grant all on all sequences in schema auto_backup to current_user;
        for o in
            select p.oid::pg_catalog.regprocedure::text as name
            from pg_catalog.pg_proc p
            where p.pronamespace = 'auto_backup'::pg_catalog.regnamespace and p.proowner = current_user::pg_catalog.regrole
        loop
            execute pg_catalog.format('grant all on function %s to current_user', o.name);
        end loop;
    end if;
end
$do$;
