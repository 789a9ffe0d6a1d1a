-- What in this schema differs from what was installed, by object, in words; {} if
-- nothing does. Objects that others have added do not count, unless they affect the
-- dispatcher. Every plan calls this, so it returns a problem instead of failing.
create or replace function auto_backup.drift()
returns jsonb
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    wanted jsonb;
    found jsonb := auto_backup.catalog('auto_backup');
    same_server boolean;
    codes jsonb;
    objects jsonb;
    texts text;
    access jsonb;
begin
    select to_jsonb(i) -> 'objects' into wanted from auto_backup.installation i;
    if wanted is null then
        return jsonb_build_object('table installation', 'has lost its row');
    end if;
    same_server := (wanted -> 'server')::integer = current_setting('server_version_num')::integer / 10000;
    codes := wanted -> 'codes';
    wanted := wanted - array['server', 'codes'];

    select coalesce(jsonb_object_agg(d.object, d.words), '{}') into objects
    from (
        select w.key as object, 'is missing' as words
        from jsonb_each(wanted) w
        where not found ? w.key
        -- A missing table includes everything that it had.
        and (w.value ->> 'table' is null or found ? ('table ' || (w.value ->> 'table')))
        union all
        select
            w.key,
            string_agg(
                case
                    when p.key in ('definition', 'body') then 'has another ' || p.key
                    when p.key in ('columns', 'arguments') then 'has other ' || p.key
                    else format(
                        'has %s %s instead of %s', p.key, coalesce(found -> w.key ->> p.key, 'unset'),
                        coalesce(w.value ->> p.key, 'unset')
                    )
                end, ' and ' order by p.key
            )
        from jsonb_each(wanted) w
        cross join jsonb_each(w.value || (found -> w.key)) p
        where found ? w.key
        and found -> w.key -> p.key is distinct from w.value -> p.key
        and (same_server or p.key <> 'definition')
        group by w.key
        union all
        select f.key, case when f.key like 'column %' then 'does not belong there, and every new row has to fill it' else 'does not belong there' end
        from jsonb_each(found) f
        where not wanted ? f.key
        and case
            when f.key like 'function %' then exists (
                select from jsonb_each(wanted) w where w.key like 'function %' and w.value -> 'name' = f.value -> 'name'
            )
            when not wanted ? ('table ' || coalesce(f.value ->> 'table', '')) then false
            when f.key like 'column %' then (f.value ->> 'required')::boolean and not f.value ?| array['default', 'identity', 'generated']
            when f.key like 'index %' then (f.value ->> 'unique')::boolean
            else f.key ~ '^(constraint|trigger|rule) '
        end
    ) as d;

    -- Rows can be compared only if no column is missing.
    if not exists (select from jsonb_object_keys(objects) as k where k = 'table codes' or k like 'column codes.%') then
        select string_agg(
            coalesce(w.name, f.name) || case
                when f.name is null then ' is missing'
                when w.name is null then ' does not belong there'
                else ' has another text'
            end, ', ' order by coalesce(w.name, f.name)
        ) into texts
        from jsonb_each_text(codes) as w (name, digest)
        full join (
            select
                concat_ws(' ', c.code, nullif(c.sqlstate, '')) as name,
                md5(row(c.meaning, c.remedy, c.reason, c.advice, c.arises)::text) as digest
            from auto_backup.codes c
        ) as f on f.name = w.name
        where f.digest is distinct from w.digest;
        if texts is not null then
            objects := objects || jsonb_build_object('rows of table codes', left(texts, 400));
        end if;
    end if;

    with log as (
        -- Where postgres may grant them. The roles of foreign tables are a finding.
        select c.oid, 'public.' || c.relname as name, c.relrowsecurity, n.privileges
        from (
            values
            ('public.system_logs', array['SELECT', 'INSERT', 'UPDATE']), ('public.backup_logs', array['SELECT', 'UPDATE'])
        ) as n (name, privileges)
        inner join pg_catalog.pg_class c on c.oid = to_regclass(n.name) and c.relkind in ('r', 'p')
        where to_regrole('auto_backup_agent') is not null and pg_has_role('postgres', c.relowner, 'usage')
    ),

    agent as (
        select r.* from pg_catalog.pg_roles r where r.rolname = 'auto_backup_agent'
    ),

    granted (object, owner, acl, standard) as (
        select 'schema auto_backup', n.nspowner, n.nspacl, acldefault('n', n.nspowner)
        from pg_catalog.pg_namespace n
        where n.nspname = 'auto_backup'
        union all
        select c.relname, c.relowner, c.relacl, acldefault('r', c.relowner)
        from pg_catalog.pg_class c
        where c.relnamespace = 'auto_backup'::regnamespace and wanted ?| array['table ' || c.relname, 'view ' || c.relname]
        union all
        select c.relname || '.' || a.attname, c.relowner, a.attacl, acldefault('c', c.relowner)
        from pg_catalog.pg_attribute a
        inner join pg_catalog.pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'auto_backup'::regnamespace and wanted ?| array['table ' || c.relname, 'view ' || c.relname]
        and a.attacl is not null
        union all
        select f.signature, p.proowner, p.proacl, acldefault('f', p.proowner)
        from pg_catalog.pg_proc p
        cross join lateral (select p.proname || '(' || oidvectortypes(p.proargtypes) || ')' as signature) f
        where p.pronamespace = 'auto_backup'::regnamespace and wanted ? ('function ' || f.signature)
    ),

    present as (
        select g.object, case x.grantee when 0 then 'public' else pg_get_userbyid(x.grantee) end as role, x.privilege_type as privilege
        from granted g
        cross join aclexplode(coalesce(g.acl, g.standard)) x
    ),

    needed (object, role, privilege) as (
        select g.object, pg_get_userbyid(g.owner), x.privilege_type
        from granted g
        cross join aclexplode(g.standard) x
        where x.grantee = g.owner
        union all
        select r.object, 'supabase_read_only_user', r.privilege
        from (
            values
            ('schema auto_backup', 'USAGE'), ('token_digest(text)', 'EXECUTE'), ('key_digest(text)', 'EXECUTE'), ('channel_digests(text)', 'EXECUTE'), ('drift()', 'EXECUTE'), ('catalog(text)', 'EXECUTE'),
            ('is_probe_answer(text, jsonb, text)', 'EXECUTE')
        ) as r (object, privilege)
        where to_regrole('supabase_read_only_user') is not null
        union all
        -- The view history calls it with the rights of whoever reads the view.
        select 'outcomes()', 'public', 'EXECUTE'
        union all
        -- Another role owns it.
        select f.signature, 'postgres', 'EXECUTE'
        from (values ('write_outside(text, jsonb)'), ('drill_restore(jsonb, timestamp with time zone)')) as f (signature)
        union all
        select l.name, 'auto_backup_agent', r.privilege
        from log l
        cross join unnest(l.privileges) as r (privilege)
    ),

    wrong as (
        select p.role, 'has ' as verb, p.object, p.privilege
        from present p
        where p.role in ('public', 'anon', 'authenticated', 'service_role', 'authenticator', 'supabase_read_only_user', 'auto_backup_agent')
        and not exists (
            select from needed n where n.object = p.object and n.role = p.role and n.privilege = p.privilege
        )
        union all
        select n.role, 'lacks ', n.object, n.privilege
        from needed n
        where not exists (
            select from present p where p.object = n.object and p.role = n.role and p.privilege = n.privilege
        )
        and not exists (
            select from log l
            where case when l.name = n.object then has_table_privilege(n.role, l.oid, n.privilege) end
        )
    ),

    per_object as (
        select w.role, w.verb || string_agg(w.privilege, ', ' order by w.privilege) || ' on ' || w.object as words
        from wrong w
        group by w.role, w.verb, w.object
    ),

    about_agent (words) as (
        select 'is missing' where not exists (select from agent)
        union all
        select 'may log in, inherit rights, create roles or databases, replicate, or bypass row level security'
        from agent a
        where a.rolcanlogin or a.rolinherit or a.rolcreaterole or a.rolcreatedb or a.rolsuper or a.rolreplication or a.rolbypassrls
        union all
        select 'is a member of ' || pg_get_userbyid(m.roleid)
        from agent a inner join pg_catalog.pg_auth_members m on m.member = a.oid
        union all
        select 'has the member ' || pg_get_userbyid(m.member)
        from agent a inner join pg_catalog.pg_auth_members m on m.roleid = a.oid and pg_get_userbyid(m.member) <> 'postgres'
        union all
        select 'lacks its policy on ' || l.name
        from log l
        where l.relrowsecurity
        and not exists (select from pg_catalog.pg_policy y where y.polrelid = l.oid and y.polname = 'auto_backup_agent')
    ),

    per_role as (
        select 'role ' || p.role as object, left(string_agg(p.words, '; ' order by p.words), 400) as words
        from (
            select o.role, o.words from per_object o
            union all
            select 'auto_backup_agent', a.words from about_agent a
        ) as p
        group by p.role
    )

    select coalesce(jsonb_object_agg(r.object, r.words), '{}') into access from per_role r;
    return objects || access;
exception
    when others then
        return jsonb_build_object('schema', 'cannot be examined: ' || sqlerrm);
end
$body$;
