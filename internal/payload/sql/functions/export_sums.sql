-- The file SHA256SUMS of an export: the digest and the key of each object with rows or
-- with the schema, as sha256sum -c reads them.
create or replace function auto_backup.export_sums(export bigint, worker uuid, at timestamptz default null)
returns text
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    current auto_backup.exports;
begin
    current := auto_backup.export_renew(export_sums.export, export_sums.worker, coalesce(export_sums.at, clock_timestamp()));
    if current.stage not in ('sums', 'recovery', 'manifest') then
        raise exception 'auto_backup: export % is at %, and has no checksums yet', current.export_id, current.stage using errcode = 'AB031';
    end if;
    return (
        select coalesce(string_agg(o.sha256 || '  ' || o.key || E'\n', '' order by o.kind, o.table_no, o.part), '')
        from auto_backup.export_objects o
        where o.export_id = current.export_id and o.kind in ('rows', 'schema') and o.state = 'stored'
    );
end
$body$;
