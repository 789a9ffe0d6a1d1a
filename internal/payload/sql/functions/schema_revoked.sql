-- Takes back from all roles but the owner what the default privileges of the database
-- have granted on new tables, sequences and functions: the source may have taken it
-- back, too. That everybody may call a function is left to its grants.
create or replace function auto_backup.schema_revoked(relations text [], routines text [])
returns text
language sql
immutable
set search_path = ''
as $body$
    select 'do ' || auto_backup.schema_quoted(format($text$
declare
    granted record;
begin
    for granted in
        select distinct o.target, coalesce(quote_ident(r.rolname), 'public') as role
        from (
            select format('table %%s', c.oid::regclass) as target, c.relacl as acl, c.relowner as owner, true as everybody
            from unnest(%L::text[]) as n (name)
            inner join pg_catalog.pg_class c on c.oid = pg_catalog.to_regclass(n.name)
            union all
            select format('routine %%s', p.oid::regprocedure), p.proacl, p.proowner, false
            from unnest(%L::text[]) as n (name)
            inner join pg_catalog.pg_proc p on p.oid = pg_catalog.to_regprocedure(n.name)
        ) as o
        cross join lateral pg_catalog.aclexplode(o.acl) as e
        left join pg_catalog.pg_roles r on r.oid = e.grantee
        where e.grantee <> o.owner and (e.grantee <> 0 or o.everybody)
    loop
        execute format('revoke all on %%s from %%s', granted.target, granted.role);
    end loop;
end
$text$, schema_revoked.relations, schema_revoked.routines), 'do') || ';'
$body$;
