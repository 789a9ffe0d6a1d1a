-- Describes one table for a drill, from the catalogs alone: that locks no table and
-- needs no right on it. `pair` is an element of the settings' drill.tables: "live" and
-- "copy" are names as arrays of schema and table, "columns" maps each live column to
-- that of the copy from which it is restored (null: by name, and id from original_id).
-- Returns {"number", "live", "copy", "columns", "checks", "keys", "match",
-- "triggered", "since", "filtered"}, or with "problem" why the table cannot be drilled.
--
-- Only tables of roles that postgres trusts are read by it. Another role's table could
-- call code of that role, for example in the expression of an index.
create or replace function auto_backup.drill_layout(pair jsonb, number integer)
returns jsonb
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    live constant text := format('%I.%I', pair #>> '{live,0}', pair #>> '{live,1}');
    copy constant text := format('%I.%I', pair #>> '{copy,0}', pair #>> '{copy,1}');
    live_id constant oid := pg_catalog.to_regclass(live);
    copy_id constant oid := pg_catalog.to_regclass(copy);
    layout jsonb := jsonb_build_object('number', number, 'live', live, 'copy', copy, 'filtered', coalesce(pair -> 'filtered', 'false'));
    names jsonb := pair -> 'columns';
    columns jsonb;
    object text;
begin
    if live_id is null or copy_id is null then
        return layout || jsonb_build_object('problem', jsonb_build_object(
            'code', 'drill_table_missing', 'object', case when live_id is null then live else copy end
        ));
    end if;
    object := coalesce(auto_backup.drill_untrusted(live_id), auto_backup.drill_untrusted(copy_id));
    if object is not null then
        return layout || jsonb_build_object('problem', jsonb_build_object('code', 'drill_table_foreign', 'object', object));
    end if;

    if coalesce(names, 'null') = 'null' then
        select jsonb_object_agg(a.attname, case a.attname when 'id' then 'original_id' else a.attname end) into names
        from pg_catalog.pg_attribute a
        where a.attrelid = live_id and a.attnum > 0 and not a.attisdropped;
    end if;

    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'name', a.attname,
        'number', a.attnum,
        'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
        'bare', pg_catalog.format_type(own.id, -1),
        'collation', case when a.attcollation <> t.typcollation then a.attcollation::pg_catalog.regcollation::text end,
        'required', nullif(a.attnotnull, false),
        'generated', case when a.attgenerated <> '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end,
        -- A sequence is not part of a transaction: a drill would use its numbers up.
        'counted', nullif(a.attidentity <> '' or pg_catalog.pg_get_expr(d.adbin, d.adrelid) like '%nextval(%', false),
        'default', case
            when a.attgenerated = '' and pg_catalog.pg_get_expr(d.adbin, d.adrelid) not like '%nextval(%'
                then pg_catalog.pg_get_expr(d.adbin, d.adrelid)
        end,
        'copy', case when a.attgenerated = '' then b.attname end,
        -- What a generated column had; a restore computes it.
        'kept', case when a.attgenerated <> '' then b.attname end,
        'copy_bare', pg_catalog.format_type(theirs.id, -1),
        -- Between types that only PostgreSQL defines, no cast runs foreign code.
        'convertible', own.id = theirs.id or (own.builtin and theirs.builtin),
        'retyped', nullif((a.atttypid, a.atttypmod) is distinct from (b.atttypid, b.atttypmod), false)
    )) order by a.attnum) into columns
    from pg_catalog.pg_attribute a
    inner join pg_catalog.pg_type t on t.oid = a.atttypid
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join pg_catalog.pg_attribute b
        on b.attrelid = copy_id and b.attnum > 0 and not b.attisdropped and b.attname = names ->> a.attname::text
    cross join lateral auto_backup.drill_type(a.atttypid) as own
    cross join lateral auto_backup.drill_type(b.atttypid) as theirs
    where a.attrelid = live_id and a.attnum > 0 and not a.attisdropped and a.attgenerated in ('', 's');

    layout := layout || jsonb_build_object('columns', columns) || jsonb_build_object(
        'backup_column', (
            select jsonb_build_object('name', b.attname, 'type', pg_catalog.format_type(b.atttypid, b.atttypmod))
            from pg_catalog.pg_attribute b
            where b.attrelid = copy_id and b.attname = 'backup_id' and not b.attisdropped
        ),
        'checks', coalesce((
            select jsonb_agg(jsonb_build_object('name', k.conname, 'expression', pg_catalog.pg_get_expr(k.conbin, k.conrelid)) order by k.conname)
            from pg_catalog.pg_constraint k
            where k.conrelid = live_id and k.contype = 'c'
        ), '[]'),
        'keys', coalesce((
            select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                'name', i.relname,
                'constraint', pg_catalog.pg_get_constraintdef(k.oid),
                'index', substring(pg_catalog.pg_get_indexdef(x.indexrelid) from ' USING .*$'),
                'columns', case
                    when x.indisunique then (
                        select string_agg(pg_catalog.pg_get_indexdef(x.indexrelid, p, false), ', ' order by p)
                        from pg_catalog.generate_series(1, x.indnkeyatts) as p
                    )
                end,
                'nulls', x.indnullsnotdistinct,
                'predicate', pg_catalog.pg_get_expr(x.indpred, x.indrelid)
            )) order by not x.indisprimary, i.relname)
            from pg_catalog.pg_index x
            inner join pg_catalog.pg_class i on i.oid = x.indexrelid
            left join pg_catalog.pg_constraint k on k.conindid = x.indexrelid and k.conrelid = live_id and k.contype in ('p', 'u', 'x')
            where x.indrelid = live_id and x.indislive and (x.indisunique or x.indisexclusion)
        ), '[]'),
        -- How the rows of the copy and the live ones are matched: by the first key of
        -- which all columns are copied.
        'match', (
            select k.columns
            from (
                select
                    x.indisprimary, x.indexrelid,
                    jsonb_agg(jsonb_build_object(
                        'name', c.value ->> 'name', 'number', c.value -> 'number',
                        'bare', case when c.value -> 'bare' <> c.value -> 'copy_bare' then c.value -> 'bare' else 'null' end,
                        'operator', format('operator(%I.%s)', n.nspname, o.oprname)
                    ) order by e.place) as columns
                from pg_catalog.pg_index x
                cross join lateral unnest(x.indkey::smallint[], x.indclass::oid[]) with ordinality as e (attribute, class, place)
                left join jsonb_array_elements(columns) c on (c.value ->> 'number')::smallint = e.attribute
                left join pg_catalog.pg_opclass p on p.oid = e.class
                left join pg_catalog.pg_amop m
                    on m.amopfamily = p.opcfamily and m.amoplefttype = p.opcintype and m.amoprighttype = p.opcintype and m.amopstrategy = 3
                    and p.opcmethod = (select am.oid from pg_catalog.pg_am am where am.amname = 'btree')
                left join pg_catalog.pg_operator o on o.oid = m.amopopr
                left join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
                where x.indrelid = live_id and x.indisunique and x.indisvalid and x.indpred is null and x.indexprs is null
                and e.place <= x.indnkeyatts
                group by x.indexrelid, x.indisprimary, x.indnkeyatts
                having count(*) filter (
                    where c.value ? 'copy' and (c.value -> 'convertible')::boolean and (c.value ? 'required') and o.oid is not null
                ) = x.indnkeyatts
            ) as k
            order by not k.indisprimary, k.indexrelid
            limit 1
        ),
        'triggered', exists (
            select from pg_catalog.pg_trigger g
            where g.tgrelid = copy_id and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype & 7 = 7 -- before insert, for each row
        ),
        'since', (
            select 'coalesce(' || string_agg(format('s.%I', c.value ->> 'name'), ', ' order by c.value ->> 'name' desc) || ')'
            from jsonb_array_elements(columns) c
            where c.value ->> 'name' in ('updated_at', 'created_at') and c.value ->> 'bare' like 'timestamp with%'
        )
    );
    if layout -> 'backup_column' = 'null' or not exists (select from jsonb_array_elements(columns) c where c.value ? 'copy') then
        return layout || jsonb_build_object('problem', jsonb_build_object('code', 'drill_copy_columns', 'object', copy));
    end if;
    return layout;
end
$body$;
