-- Creates a policy.
create or replace function auto_backup.schema_policy(policy oid)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return (
        select concat(
            'create policy ', n.name, case when not p.polpermissive then ' as restrictive' end,
            case p.polcmd when 'r' then ' for select' when 'a' then ' for insert' when 'w' then ' for update' when 'd' then ' for delete' end,
            E'\n    to ', (
                select string_agg(coalesce(quote_ident(r.rolname), 'public'), ', ' order by r.rolname)
                from unnest(p.polroles) as m (role)
                left join pg_catalog.pg_roles r on r.oid = m.role
                where m.role = 0 or r.oid is not null
            ),
            E'\n    using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
            E'\n    with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')',
            ';', E'\n' || auto_backup.schema_comment('policy ' || n.name, 'pg_policy'::regclass, p.oid)
        )
        from pg_catalog.pg_policy p
        cross join lateral (select format('%I on %s', p.polname, p.polrelid::regclass) as name) as n
        where p.oid = schema_policy.policy
    );
end
$body$;
