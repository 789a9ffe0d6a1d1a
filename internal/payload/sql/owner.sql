-- pg_cron's jobs belong to the role that schedules them, and on Supabase this
-- is postgres: a job of another role is a second job of the same name. What is
-- in the schema has to belong to postgres as well, or it could not be changed.
do $do$
declare
    o record;
    joined boolean;
begin
    if current_user <> 'postgres' then
        raise exception 'this is role %, and the jobs have to belong to postgres; connect as postgres', current_user;
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
        continue when o.owner = current_user;
        begin
            -- Taking it needs membership in the role, which postgres may give itself
            -- unless the role is a superuser.
            joined := not pg_catalog.pg_has_role(o.owner, 'member');
            if joined then
                execute pg_catalog.format('grant %I to %I', o.owner, current_user);
            end if;
            execute pg_catalog.format('alter %s %s owner to %I', o.kind, o.name, current_user);
            if joined then
                execute pg_catalog.format('revoke %I from %I', o.owner, current_user);
            end if;
        exception
            when insufficient_privilege then
                -- The owner of a schema may drop what others have in it, and
                -- views and functions hold nothing that would be lost.
                if o.kind in ('view', 'function') then
                    execute pg_catalog.format('drop %s %s', o.kind, o.name);
                else
                    raise exception 'the % % belongs to role %, and postgres may not change it', o.kind, o.name, o.owner
                    using errcode = 'AB011', hint = pg_catalog.format(
                        'Have %s or a superuser, on Supabase its support, run: alter %s %s owner to postgres', o.owner, o.kind, o.name
                    );
                end if;
        end;
    end loop;
    -- An owner can take his own rights away, and give them back.
    if pg_catalog.to_regnamespace('auto_backup') is not null then
        grant all on schema auto_backup to current_user;
        grant all on all tables in schema auto_backup to current_user;
        grant all on all sequences in schema auto_backup to current_user;
        grant all on all functions in schema auto_backup to current_user;
    end if;
end
$do$;
