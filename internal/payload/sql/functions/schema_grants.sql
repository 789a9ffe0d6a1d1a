-- The grants on an object, but for those of its owner. `kind` is that of acldefault():
-- r (table), s (sequence), f (function), n (schema), T (type), c (column, with its name
-- in `part`).
create or replace function auto_backup.schema_grants(target text, kind "char", acl aclitem [], owner oid, part name default null)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return (
        with privilege as (
            select e.grantee, e.privilege_type as name, bool_or(e.is_grantable) as grantable, min(e.place) as place
            from pg_catalog.aclexplode(schema_grants.acl) with ordinality as e (grantor, grantee, privilege_type, is_grantable, place)
            left join pg_catalog.pg_roles r on r.oid = e.grantee
            where e.grantee <> schema_grants.owner and (e.grantee = 0 or r.oid is not null)
            group by e.grantee, e.privilege_type
        ),

        -- What everybody has without a grant.
        public as (
            select e.privilege_type as name
            from pg_catalog.aclexplode(pg_catalog.acldefault(schema_grants.kind, schema_grants.owner)) as e
            where e.grantee = 0 and schema_grants.kind <> 'c'
            union all
            select 'USAGE' where schema_grants.target = 'schema public'
        ),

        everything as (
            select count(*) as number
            from pg_catalog.aclexplode(pg_catalog.acldefault(schema_grants.kind, schema_grants.owner)) as e
            where e.grantee = schema_grants.owner and schema_grants.kind <> 'c'
        ),

        granted as (
            select
                p.grantee, p.grantable, min(p.place) as place,
                -- Before PostgreSQL 17 there is no such privilege.
                p.name = 'MAINTAIN' and not p.whole as new,
                case
                    when p.whole then 'all'
                    else string_agg(lower(p.name) || coalesce(' (' || quote_ident(schema_grants.part) || ')', ''), ', ' order by p.place)
                end as names
            from (
                select p.*, count(*) over (partition by p.grantee, p.grantable) = (select e.number from everything e) as whole
                from privilege p
                where p.grantee <> 0 or p.grantable or p.name <> all (array(select d.name from public d))
            ) as p
            group by p.grantee, p.grantable, p.whole, p.name = 'MAINTAIN' and not p.whole
        )

        select string_agg(s.statement, E'\n' order by s.place, s.statement)
        from (
            select
                format('revoke %s on %s from public;', string_agg(lower(d.name), ', '), schema_grants.target) as statement, 0 as place
            from public d
            where schema_grants.acl is not null and d.name not in (select p.name from privilege p where p.grantee = 0)
            having count(*) > 0
            union all
            select
                case when g.new then auto_backup.schema_guarded('pg_catalog.current_setting(''server_version_num'')::integer >= 170000', t.statement) else t.statement end,
                g.place
            from granted g
            left join pg_catalog.pg_roles r on r.oid = g.grantee
            cross join lateral (
                select format(
                    'grant %s on %s to %s%s;', g.names, schema_grants.target,
                    coalesce(quote_ident(r.rolname), 'public'), case when g.grantable then ' with grant option' end
                ) as statement
            ) as t
        ) as s
    );
end
$body$;
