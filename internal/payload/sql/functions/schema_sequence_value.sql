-- Sets a sequence to where it stands. A sequence that gave no number yet may have been
-- set to one, which only the sequence itself tells: it is read if it belongs to a role
-- that postgres trusts, since another role could put a view in its place.
create or replace function auto_backup.schema_sequence_value(sequence oid)
returns text
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    name constant text := sequence::regclass;
    value bigint;
    start bigint;
begin
    if not pg_catalog.has_sequence_privilege(sequence, 'select') then
        return null;
    end if;
    value := pg_catalog.pg_sequence_last_value(sequence);
    if value is not null then
        return format('select pg_catalog.setval(%L, %s, true);', name, value);
    end if;
    select s.seqstart into start from pg_catalog.pg_sequence s where s.seqrelid = sequence;
    if exists (
        select from pg_catalog.pg_class c
        inner join pg_catalog.pg_roles r on r.oid = c.relowner
        where c.oid = sequence and (r.rolname = current_user or r.rolsuper)
    ) then
        execute 'select s.last_value from ' || name || ' s' into value;
    end if;
    if value <> start then
        return format('select pg_catalog.setval(%L, %s, false);', name, value);
    end if;
    return null;
end
$body$;
