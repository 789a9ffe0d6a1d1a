-- Describes one table of an export, from the catalogs alone. The table must be locked,
-- so that its name means the same when it is read. `source` is "stored" for the rows of
-- one backup, and "live". Returns {"no", "schema", "name", "source", "columns",
-- "identity", "generated"}, and "key" with its "key_type" if the rows can be read by it
-- in pages: stored rows never change. Otherwise returns {"problem"}.
--
-- Only tables of roles that postgres trusts are read by it, and by a key only one of
-- PostgreSQL's own types: no comparison of another role may run.
create or replace function auto_backup.export_layout(no integer, schema text, name text, source text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    relation constant oid := pg_catalog.to_regclass(format('%I.%I', schema, name));
    shown constant text := schema || '.' || name;
    object text;
    columns jsonb;
    identity jsonb;
    generated jsonb;
    key_name text;
    key_type text;
begin
    if relation is null then
        return jsonb_build_object('problem', jsonb_build_object('code', 'offsite_table_missing', 'message', shown, 'retry', false));
    end if;
    object := auto_backup.drill_untrusted(relation);
    if object is null and source = 'stored' and not exists (
        select from pg_catalog.pg_attribute a
        where a.attrelid = relation and a.attname = 'backup_id' and not a.attisdropped
        and a.atttypid in ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
    ) then
        object := shown || '.backup_id';
    end if;
    if object is not null then
        return jsonb_build_object('problem', jsonb_build_object('code', 'offsite_table_foreign', 'message', object, 'retry', false));
    end if;

    -- A virtual column would run its expression whenever it is read.
    select
        coalesce(jsonb_agg(jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod)) order by a.attnum), '[]'),
        coalesce(jsonb_agg(a.attname order by a.attnum) filter (where a.attidentity <> ''), '[]'),
        coalesce(jsonb_agg(a.attname order by a.attnum) filter (where a.attgenerated <> ''), '[]')
    into columns, identity, generated
    from pg_catalog.pg_attribute a
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and a.attgenerated in ('', 's');
    if columns = '[]' then
        return jsonb_build_object('problem', jsonb_build_object('code', 'offsite_table_foreign', 'message', shown, 'retry', false));
    end if;
    if source = 'stored' then
        select a.attname, pg_catalog.format_type(a.atttypid, -1) into key_name, key_type
        from pg_catalog.pg_index x
        inner join pg_catalog.pg_attribute a on a.attrelid = x.indrelid and a.attnum = x.indkey[0]
        inner join pg_catalog.pg_opclass o on o.oid = x.indclass[0]
        where x.indrelid = relation and x.indisunique and x.indisvalid and x.indimmediate and x.indnkeyatts = 1
        and x.indpred is null and x.indexprs is null and a.attnotnull
        and a.atttypid in ('uuid'::regtype, 'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
        and o.opcnamespace = 'pg_catalog'::regnamespace
        order by not x.indisprimary, x.indexrelid
        limit 1;
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'no', no, 'schema', schema, 'name', name, 'source', source,
        'columns', columns, 'identity', identity, 'generated', generated,
        'key', key_name, 'key_type', key_type
    ));
end
$body$;
