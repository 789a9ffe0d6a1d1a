-- Checks the foreign keys of one table of a drill: counts the rows of the copy whose
-- parent is neither in the backup nor, if the backup does not hold the parent's table,
-- in that table. `layouts` are those of all tables, as drill_rehearse has completed
-- them. Returns {"problems", "unchecked"}.
create or replace function auto_backup.drill_keys(layouts jsonb, number integer)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    fatal constant text[] := array['40%', '53%', '55P03', '58%']; -- see drill_rehearse
    piece constant bigint := 5000;
    layout constant jsonb := layouts -> (number - 1);
    problems jsonb := '[]';
    unchecked jsonb := '[]';
    key record;
    parent jsonb;
    source text;
    filter text;
    condition text;
    present text;
    count bigint;
    orphans bigint;
    stretch bigint;
    state text;
begin
    for key in
        select
            k.conname, k.confrelid, k.confmatchtype,
            jsonb_agg(jsonb_build_object(
                'column', c.value, 'parent', p.attname, 'operator', format('operator(%I.%s)', n.nspname, o.oprname)
            ) order by e.place) as columns,
            bool_and(coalesce(c.value ? 'copy' and (c.value -> 'convertible')::boolean, false)) as usable,
            bool_or(c.value ? 'copy' or c.value ?| array['default', 'generated', 'counted']) as filled
        from pg_catalog.pg_constraint k
        cross join lateral unnest(k.conkey, k.confkey, k.conpfeqop) with ordinality as e (child, parent, equal, place)
        left join jsonb_array_elements(layout -> 'columns') c on (c.value ->> 'number')::smallint = e.child
        inner join pg_catalog.pg_attribute p on p.attrelid = k.confrelid and p.attnum = e.parent
        inner join pg_catalog.pg_operator o on o.oid = e.equal
        inner join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
        where k.conrelid = pg_catalog.to_regclass(layout ->> 'live') and k.contype = 'f'
        -- A key to a partitioned table has another constraint for each partition.
        and not exists (select from pg_catalog.pg_constraint a where a.oid = k.conparentid and a.conrelid = k.conrelid)
        group by k.oid, k.conname, k.confrelid, k.confmatchtype
        order by k.conname
    loop
        -- What is restored as null refers to nothing.
        continue when not key.filled;
        select l.value into parent
        from jsonb_array_elements(layouts) l
        where pg_catalog.to_regclass(l.value ->> 'live') = key.confrelid and not l.value ? 'problem';

        filter := 'true';
        if not found then
            source := key.confrelid::regclass;
            if auto_backup.drill_untrusted(key.confrelid) is not null then
                unchecked := unchecked || to_jsonb(key.conname::text);
                continue;
            end if;
        elsif (parent -> 'sampled')::boolean then
            source := parent ->> 'copy';
            filter := parent ->> 'filter';
        else
            source := 'pg_temp.drill_copy_' || (parent ->> 'number');
        end if;

        select
            string_agg(concat(
                'p.', case when source like 'pg\_temp.%' then 'c' || (r.value ->> 'number') when parent is not null then quote_ident(r.value ->> 'copy')
                    else quote_ident(c.value ->> 'parent') end,
                case when parent is not null and r.value -> 'bare' <> r.value -> 'copy_bare' then '::' || (r.value ->> 'bare') end,
                ' ', c.value ->> 'operator', ' ',
                'c.c', c.value #>> '{column,number}',
                case when c.value #> '{column,bare}' <> c.value #> '{column,copy_bare}' then '::' || (c.value #>> '{column,bare}') end
            ), ' and ' order by c.place),
            string_agg('c.c' || (c.value #>> '{column,number}'), ', ' order by c.place),
            key.usable and (parent is null or bool_and(coalesce(r.value ? 'copy' and (r.value -> 'convertible')::boolean, false)))
        into condition, present, key.usable
        from jsonb_array_elements(key.columns) with ordinality as c (value, place)
        left join jsonb_array_elements(parent -> 'columns') r on r.value ->> 'name' = c.value ->> 'parent';
        if not key.usable then
            unchecked := unchecked || to_jsonb(key.conname::text);
            continue;
        end if;

        present := case key.confmatchtype
            when 'f' then format('num_nulls(%1$s) > 0 and num_nonnulls(%1$s) > 0 or num_nulls(%1$s) = 0', present)
            else format('num_nulls(%s) = 0', present)
        end;
        orphans := 0;
        begin
            -- Live tables are read in pieces, which are short.
            stretch := case when parent is null then piece else (layout ->> 'rows')::bigint + 1 end;
            for low in 0 .. (layout ->> 'rows')::bigint by stretch loop
                execute format(
                    'select r.n from auto_backup.drill_read(%2$L, %1$L) as r (n bigint)', parent is null, format(
                        'select count(*) from pg_temp.drill_copy_%s c where c.n > %s and c.n <= %s and (%s) and not exists (select from %s p where %s and %s)',
                        number, low, low + stretch, present, source, filter, condition
                    )
                ) into count;
                orphans := orphans + count;
            end loop;
        exception
            when others then
                if sqlstate like any (fatal) then
                    raise;
                end if;
                unchecked := unchecked || to_jsonb(key.conname::text);
                continue;
        end;
        if orphans > 0 then
            problems := problems || jsonb_build_object(
                'code', 'drill_foreign_key', 'object', key.conname, 'rows', orphans, 'sqlstate', '23503'
            );
        end if;
    end loop;
    return jsonb_build_object('problems', problems, 'unchecked', unchecked);
end
$body$;
