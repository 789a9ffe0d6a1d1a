-- Adds a constraint to its table or domain. ONLY is for keys, which are attached to those
-- of the parent, and where it makes no difference; a check reaches the children.
create or replace function auto_backup.schema_constraint(id oid)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return (
        select concat(
            case when k.conrelid = 0 then 'alter domain ' else 'alter table ' end,
            case when k.contype <> 'c' and not (k.contype = 'f' and c.relkind = 'p') then 'only ' end, n.name,
            ' add constraint ', quote_ident(k.conname), ' ', pg_catalog.pg_get_constraintdef(k.oid), ';',
            -- What pg_get_constraintdef leaves out of the index.
            E'\nalter index ' || i.name || ' set (' || (
                select string_agg(format('%I = %L', split_part(r.option, '=', 1), substr(r.option, strpos(r.option, '=') + 1)), ', ' order by r.place)
                from unnest(i.options) with ordinality as r (option, place)
                having count(*) > 0
            ) || ');',
            E'\n' || auto_backup.schema_index_details(i.id),
            E'\n' || auto_backup.schema_comment(
                format('constraint %I on %s%s', k.conname, case when k.conrelid = 0 then 'domain ' end, n.name), 'pg_constraint'::regclass, k.oid
            )
        )
        from pg_catalog.pg_constraint k
        left join pg_catalog.pg_class c on c.oid = k.conrelid
        left join lateral (
            select x.oid as id, x.oid::regclass::text as name, x.reloptions as options
            from pg_catalog.pg_class x
            where x.oid = k.conindid and k.contype in ('p', 'u', 'x')
        ) as i on true
        cross join lateral (
            select case when k.conrelid = 0 then pg_catalog.format_type(k.contypid, null) else k.conrelid::regclass::text end as name
        ) as n
        where k.oid = schema_constraint.id
    );
end
$body$;
