-- The IDs of the backups of which a table has rows. With an index it takes one step for
-- each backup, however many rows it has.
create or replace function auto_backup.retain_stored(stored regclass)
returns text[]
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    ids text[];
begin
    execute format(
        case
            when exists (
                select from pg_catalog.pg_index i
                inner join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                where i.indrelid = stored and a.attname = 'backup_id' and i.indisvalid and i.indpred is null
            ) then $q$
                with recursive step as (
                    (select b.backup_id as id from %1$s b where b.backup_id is not null order by b.backup_id limit 1)
                    union all
                    select n.id
                    from step
                    cross join lateral (
                        select b.backup_id as id from %1$s b where b.backup_id > step.id order by b.backup_id limit 1
                    ) as n
                )

                select array_agg(s.id::text) from step s
            $q$
            else 'select array_agg(distinct b.backup_id::text) from %1$s b'
        end, stored
    ) into ids;
    return coalesce(ids, '{}');
end
$body$;
