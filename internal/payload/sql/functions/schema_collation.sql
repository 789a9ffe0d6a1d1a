-- Creates a collation. The names of two columns of pg_collation depend on the version.
create or replace function auto_backup.schema_collation(id oid)
returns text
language sql
stable
set search_path = ''
as $body$
    select concat(
        'create collation ', c.oid::regcollation, ' (',
        concat_ws(
            ', ',
            'provider = ' || case c.collprovider when 'i' then 'icu' when 'c' then 'libc' when 'b' then 'builtin' end,
            'locale = ' || quote_literal(coalesce(j.row ->> 'colllocale', j.row ->> 'colliculocale')),
            'lc_collate = ' || quote_literal(c.collcollate), 'lc_ctype = ' || quote_literal(c.collctype),
            'rules = ' || quote_literal(j.row ->> 'collicurules'),
            case when not c.collisdeterministic then 'deterministic = false' end
        ),
        ');', E'\n' || auto_backup.schema_comment('collation ' || c.oid::regcollation, 'pg_collation'::regclass, c.oid)
    )
    from pg_catalog.pg_collation c
    cross join lateral (select to_jsonb(c) as row) as j
    where c.oid = schema_collation.id
$body$;
