-- Records an object before a worker writes it, and returns its ID: {"kind", "table_no",
-- "part" or "section", "key" without the path}. Only what the export needs next is
-- accepted. What was announced for the same place and not stored is abandoned. The
-- manifest may be announced again under its name: its text is always the same.
create or replace function auto_backup.export_announce(export bigint, worker uuid, object jsonb, at timestamptz default null)
returns bigint
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(export_announce.at, clock_timestamp());
    current auto_backup.exports;
    needed jsonb;
    kind constant text := object ->> 'kind';
    table_no constant integer := object ->> 'table_no';
    part constant integer := coalesce(object ->> 'part', case object ->> 'section' when 'after' then '2' else '1' end);
    key constant text := object ->> 'key';
    id bigint;
begin
    current := auto_backup.export_renew(export_announce.export, export_announce.worker, moment);
    needed := auto_backup.export_next(current);
    if kind is distinct from current.stage
        or table_no is distinct from (needed ->> 'table')::integer
        or part <> coalesce((needed ->> 'part')::integer, 1)
    then
        raise exception 'auto_backup: export % is at %, and does not need %', current.export_id,
            concat_ws(' ', current.stage, needed::text), object - 'key' using errcode = 'AB031';
    end if;
    if key is null or key !~ '^[a-z0-9_-][a-z0-9_./-]*$' or length(key) > 300 or key ~ '\.\.|//' or (kind = 'manifest') <> (key ~ '^manifest(-[0-9a-f]{16})?\.json$') then
        raise exception 'auto_backup: an object of kind % cannot have this key', kind using errcode = 'AB031';
    end if;
    update auto_backup.export_objects o
    set state = 'abandoned'
    where o.export_id = current.export_id and o.state = 'writing' and o.key <> key;
    insert into auto_backup.export_objects as o (export_id, kind, table_no, part, key, state, announced_at)
    values (current.export_id, kind, table_no, part, key, 'writing', moment)
    on conflict on constraint export_objects_once do update set state = 'writing', announced_at = excluded.announced_at
    where o.kind = 'manifest' and o.state <> 'stored'
    returning o.object_id into id;
    if id is null then
        raise exception 'auto_backup: export % already has an object with this key', current.export_id using errcode = 'AB031';
    end if;
    return id;
end
$body$;
