-- Every object of a schema with its properties in PostgreSQL's catalogs. Schemas
-- created by the same script have equal results, whatever their names, and so has a
-- schema that was dumped and restored. `definition` is PostgreSQL's own text, which
-- may differ between major versions.
create or replace function auto_backup.catalog(namespace text)
returns jsonb
language sql
stable
set search_path = ''
as $body$
with own as (
    select n.oid, n.nspname, n.nspowner from pg_catalog.pg_namespace n where n.nspname = catalog.namespace
),

relation as (
    select c.*, own.nspname from pg_catalog.pg_class c inner join own on own.oid = c.relnamespace
),

object (name, properties) as (
    select 'schema', jsonb_build_object('owner', pg_get_userbyid(own.nspowner)) from own
    union all
    select
        'table ' || r.relname,
        jsonb_build_object(
            'owner', pg_get_userbyid(r.relowner), 'logged', r.relpersistence = 'p',
            'row security', r.relrowsecurity or r.relforcerowsecurity
        )
    from relation r
    where r.relkind = 'r'
    union all
    select
        'column ' || r.relname || '.' || a.attname,
        jsonb_build_object(
            'table', r.relname, 'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'required', a.attnotnull,
            'default', pg_get_expr(d.adbin, d.adrelid), 'identity', nullif(a.attidentity, ''), 'generated', nullif(a.attgenerated, '')
        )
    from relation r
    inner join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where r.relkind = 'r'
    union all
    select
        'constraint ' || r.relname || '.' || k.conname,
        jsonb_build_object(
            'table', r.relname, 'name', k.conname, 'validated', k.convalidated,
            'definition', replace(pg_get_constraintdef(k.oid), r.nspname || '.', 'auto_backup.')
        )
    from relation r
    inner join pg_catalog.pg_constraint k on k.conrelid = r.oid and k.contype in ('p', 'u', 'f', 'c', 'x')
    union all
    select
        'index ' || i.relname,
        jsonb_build_object(
            'table', r.relname, 'name', i.relname, 'unique', x.indisunique, 'valid', x.indisvalid,
            'definition', replace(pg_get_indexdef(x.indexrelid), r.nspname || '.', 'auto_backup.')
        )
    from relation r
    inner join pg_catalog.pg_index x on x.indrelid = r.oid
    inner join pg_catalog.pg_class i on i.oid = x.indexrelid
    where not exists (select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x'))
    union all
    select
        'trigger ' || r.relname || '.' || t.tgname,
        jsonb_build_object('table', r.relname, 'name', t.tgname, 'definition', pg_get_triggerdef(t.oid))
    from relation r
    inner join pg_catalog.pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
    union all
    select
        'rule ' || r.relname || '.' || w.rulename,
        jsonb_build_object('table', r.relname, 'name', w.rulename, 'definition', pg_get_ruledef(w.oid))
    from relation r
    inner join pg_catalog.pg_rewrite w on w.ev_class = r.oid
    where r.relkind = 'r'
    union all
    select
        'view ' || r.relname,
        jsonb_build_object(
            'owner', pg_get_userbyid(r.relowner), 'options', array_to_string(r.reloptions, ', '),
            'columns', (
                select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
                from pg_catalog.pg_attribute a
                where a.attrelid = r.oid and a.attnum > 0
            ),
            'definition', md5(replace(pg_get_viewdef(r.oid), r.nspname || '.', 'auto_backup.'))
        )
    from relation r
    where r.relkind = 'v'
    union all
    select
        'function ' || p.proname || '(' || oidvectortypes(p.proargtypes) || ')',
        jsonb_build_object(
            'name', p.proname, 'owner', pg_get_userbyid(p.proowner), 'kind', p.prokind,
            'result', pg_get_function_result(p.oid), 'arguments', pg_get_function_arguments(p.oid),
            'language', l.lanname, 'volatility', p.provolatile, 'strict', p.proisstrict, 'leakproof', p.proleakproof,
            'security', case when p.prosecdef then 'definer' else 'invoker' end,
            'settings', array_to_string(p.proconfig, ', '),
            'body', encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex')
        )
    from pg_catalog.pg_proc p
    inner join own on own.oid = p.pronamespace
    inner join pg_catalog.pg_language l on l.oid = p.prolang
)

select jsonb_object_agg(o.name, jsonb_strip_nulls(o.properties)) from object o
$body$;
