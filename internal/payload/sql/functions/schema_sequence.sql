-- The options of a sequence.
create or replace function auto_backup.schema_sequence(sequence oid)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return (
        select format(
            'start with %s increment by %s minvalue %s maxvalue %s cache %s%s',
            s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, case when s.seqcycle then ' cycle' end
        )
        from pg_catalog.pg_sequence s
        where s.seqrelid = schema_sequence.sequence
    );
end
$body$;
