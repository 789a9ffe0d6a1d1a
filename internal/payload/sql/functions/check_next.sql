-- The next objects that a worker has to look at, at most 200: [{"object_id", "key",
-- "bytes", "sha256", "version_id", "locked_until"}]; empty when it has seen all.
create or replace function auto_backup.check_next(check_id bigint, worker uuid, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    current auto_backup.export_checks;
begin
    current := auto_backup.check_renew(check_next.check_id, check_next.worker, coalesce(check_next.at, clock_timestamp()));
    return (
        select coalesce(jsonb_agg(jsonb_build_object(
            'object_id', n.object_id, 'key', e.path || n.key, 'bytes', n.bytes, 'sha256', n.sha256,
            'version_id', n.version_id, 'locked_until', auto_backup.rfc3339(n.locked_until)
        ) order by n.object_id), '[]')
        from (
            select o.* from auto_backup.check_objects(current) o where o.object_id > current.last order by o.object_id limit 200
        ) as n
        inner join auto_backup.exports e on e.export_id = n.export_id
    );
end
$body$;
