-- The role auto_backup_agent, with which the jobs do what can run other roles' code:
-- write outside this schema, and restore tables in a drill. It owns the two functions
-- and may do nothing but what they do, so code that another role attaches to the log
-- tables, to pg_net's queue or to the application's tables gets nothing from it. All
-- backups of a project share it.
do $do$
declare
    relation regclass;
    sequence regclass;
    other record;
    modern constant boolean := pg_catalog.current_setting('server_version_num')::integer >= 160000;
    own text;
begin
    if pg_catalog.to_regrole('auto_backup_agent') is null then
        begin
            create role auto_backup_agent nologin noinherit;
        exception
            -- In another database of this server.
            when duplicate_object or unique_violation then null;
        end;
    end if;
    if exists (
        select from pg_catalog.pg_roles r
        where r.rolname = 'auto_backup_agent'
        and (r.rolcanlogin or r.rolinherit or r.rolcreaterole or r.rolcreatedb or r.rolsuper or r.rolreplication or r.rolbypassrls)
    ) then
        -- Some of these only a superuser may name, even to say no.
        alter role auto_backup_agent nologin noinherit nocreaterole nocreatedb;
        if exists (
            select from pg_catalog.pg_roles r
            where r.rolname = 'auto_backup_agent' and (r.rolsuper or r.rolreplication or r.rolbypassrls)
        ) then
            alter role auto_backup_agent nosuperuser noreplication nobypassrls;
        end if;
    end if;
    for other in
        select m.roleid::regrole as role, m.member::regrole as member
        from pg_catalog.pg_auth_members m
        where 'auto_backup_agent'::regrole in (m.roleid, m.member) and m.member <> current_user::regrole
    loop
        execute pg_catalog.format('revoke %s from %s', other.role, other.member);
    end loop;
    if exists (
        select from pg_catalog.pg_auth_members m
        where 'auto_backup_agent'::regrole in (m.roleid, m.member) and m.member <> current_user::regrole
    ) then
        raise insufficient_privilege using message = 'a superuser has granted a membership';
    end if;

    -- A new owner needs the right to create, but only now.
    execute 'grant auto_backup_agent to current_user' || case when modern then ' with set true, inherit true' else '' end;
    grant create on schema auto_backup, auto_backup_wanted to auto_backup_agent;
    foreach own in array array['write_outside(text, jsonb)', 'drill_restore(jsonb, timestamptz)'] loop
        execute pg_catalog.format('alter function auto_backup.%s owner to auto_backup_agent', own);
        execute pg_catalog.format('alter function auto_backup_wanted.%s owner to auto_backup_agent', own);
        execute pg_catalog.format('revoke all on function auto_backup.%s from public', own);
        execute pg_catalog.format('grant execute on function auto_backup.%s to current_user', own);
    end loop;
    revoke all on schema auto_backup, auto_backup_wanted from auto_backup_agent;
    revoke auto_backup_agent from current_user;

    for relation in
        select c.oid
        from pg_catalog.pg_class c
        where c.oid in (to_regclass('public.system_logs'), to_regclass('public.backup_logs')) and c.relkind in ('r', 'p')
    loop
        -- The table may belong to a role that has to grant this itself.
        begin
            if not pg_catalog.has_schema_privilege('auto_backup_agent', 'public', 'usage') then
                grant usage on schema public to auto_backup_agent;
            end if;
            execute pg_catalog.format(
                'grant select, update%s on %s to auto_backup_agent',
                case when relation = to_regclass('public.system_logs') then ', insert' end, relation
            );
            for sequence in
                select q.oid
                from pg_catalog.pg_attrdef x
                inner join pg_catalog.pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = x.oid and d.refclassid = 'pg_class'::regclass
                inner join pg_catalog.pg_class q on q.oid = d.refobjid and q.relkind = 'S'
                where x.adrelid = relation
            loop
                execute pg_catalog.format('grant usage on sequence %s to auto_backup_agent', sequence);
            end loop;
            if exists (select from pg_catalog.pg_class c where c.oid = relation and c.relrowsecurity)
                and not exists (select from pg_catalog.pg_policy y where y.polrelid = relation and y.polname = 'auto_backup_agent')
            then
                execute pg_catalog.format(
                    'create policy auto_backup_agent on %s to auto_backup_agent using (true) with check (true)', relation
                );
            end if;
        exception
            when insufficient_privilege then null;
        end;
    end loop;
exception
    when insufficient_privilege then
        raise exception 'the role auto_backup_agent cannot be set up: %', sqlerrm
        using errcode = 'AB013', hint = 'As a superuser (on Supabase, ask its support), run: alter role postgres createrole. If there is a role auto_backup_agent that postgres has not created, run instead: grant auto_backup_agent to postgres with admin option.';
end
$do$;
