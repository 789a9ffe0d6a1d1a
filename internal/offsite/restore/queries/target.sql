-- What a restore has to know of its target. $1 are the schemas that the copy fills, as a
-- JSON array, and $2 is the name that the schema public gets, or empty.
with wanted as (
    select w.name, n.oid as schema, n.nspowner
    from pg_catalog.json_array_elements_text($1::json) as w (name)
    left join pg_catalog.pg_namespace n on n.nspname = w.name
)

select pg_catalog.json_build_object(
    'database', pg_catalog.current_database(),
    'role', current_user,
    'version', pg_catalog.current_setting('server_version_num')::integer,
    'version_text', pg_catalog.current_setting('server_version'),
    'encoding', pg_catalog.current_setting('server_encoding'),
    'read_only', pg_catalog.pg_is_in_recovery() or pg_catalog.current_setting('default_transaction_read_only')::boolean,
    'may_create_schemas', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
    'may_create_temporary', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP'),
    'may_create_roles', (select r.rolsuper or r.rolcreaterole from pg_catalog.pg_roles r where r.rolname = current_user),
    'bypasses_rls', (select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles r where r.rolname = current_user),
    'roles', (select pg_catalog.json_agg(r.rolname) from pg_catalog.pg_roles r),
    'extensions', (select pg_catalog.json_agg(e.name) from pg_catalog.pg_available_extensions e),
    'all_schemas', (select pg_catalog.json_agg(n.nspname) from pg_catalog.pg_namespace n),
    'schemas', (
        select pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', w.name,
            'exists', w.schema is not null,
            'may_create', w.schema is null or pg_catalog.has_schema_privilege(w.schema, 'CREATE'),
            'owned', w.schema is null or pg_catalog.pg_has_role(w.nspowner, 'USAGE'),
            'relations', coalesce((
                select pg_catalog.json_agg(c.relname order by c.relname)
                from pg_catalog.pg_class c
                where c.relnamespace = w.schema and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
                and not exists (
                    select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
                )
            ), '[]'::json)
        )) from wanted w
    ),
    'renamed_exists', exists (select from pg_catalog.pg_namespace n where n.nspname = $2::text)
) as result
