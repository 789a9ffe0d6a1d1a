-- Records that an object was stored: `facts` is {"rows", "raw_bytes", "raw_sha256",
-- "digest", "last", "more"} of what is in it, and {"bytes", "sha256", "version_id",
-- "locked_until", "verified"} of the object. Moves the export on, and returns {"stage",
-- "next"}, with the stage "complete" after the manifest; {"failed"} if the rows of the backup
-- were removed or changed meanwhile.
create or replace function auto_backup.export_stored(export bigint, worker uuid, object_id bigint, facts jsonb, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(export_stored.at, clock_timestamp());
    current auto_backup.exports;
    object auto_backup.export_objects;
    final constant boolean := not (facts ->> 'more')::boolean;
    layout jsonb;
    found bigint;
begin
    current := auto_backup.export_renew(export_stored.export, export_stored.worker, moment);
    select o.* into object from auto_backup.export_objects o where o.export_id = current.export_id and o.object_id = export_stored.object_id;
    if object.state = 'stored' and object.sha256 = facts ->> 'sha256' then
        return auto_backup.export_advance(current.export_id, moment);
    elsif object.state is distinct from 'writing' or object.kind <> current.stage then
        raise exception 'auto_backup: export % does not wait for object %', current.export_id, export_stored.object_id using errcode = 'AB031';
    elsif not coalesce(
        facts ->> 'sha256' ~ '^[0-9a-f]{64}$' and (facts ->> 'bytes')::bigint > 0
        and (object.kind in ('sums', 'recovery', 'manifest') or (facts ->> 'raw_sha256' ~ '^[0-9a-f]{64}$' and (facts ->> 'raw_bytes')::bigint >= 0))
        and (object.kind <> 'rows' or (
            (facts ->> 'digest')::numeric is not null and final is not null
            and case (facts ->> 'rows')::bigint when 0 then final else facts ->> 'last' ~ '^[0-9a-f-]{1,36}$' end
        ))
        and (object.kind <> 'manifest' or facts ->> 'sha256' = encode(sha256(convert_to(current.manifest, 'UTF8')), 'hex')), false
    ) then
        raise exception 'auto_backup: what is said of object % is not complete', export_stored.object_id using errcode = 'AB031';
    end if;
    update auto_backup.export_objects o
    set
        state = 'stored', written_at = moment, bytes = (facts ->> 'bytes')::bigint, sha256 = facts ->> 'sha256',
        raw_bytes = (facts ->> 'raw_bytes')::bigint, raw_sha256 = facts ->> 'raw_sha256',
        rows = case when o.kind = 'rows' then (facts ->> 'rows')::bigint end,
        digest = case when o.kind = 'rows' then (facts ->> 'digest')::numeric end,
        last = case when o.kind = 'rows' then facts ->> 'last' end,
        final = case when o.kind = 'rows' then final end,
        version_id = left(facts ->> 'version_id', 200), locked_until = (facts ->> 'locked_until')::timestamptz,
        verified = facts ->> 'verified'
    where o.object_id = export_stored.object_id;
    update auto_backup.exports e
    set
        failures = 0, code = null, sqlstate = null, error = null, http_status = null, retryable = null, failed_at = null,
        rows = e.rows + case when object.kind = 'rows' then (facts ->> 'rows')::bigint else 0 end,
        raw_bytes = e.raw_bytes + coalesce((facts ->> 'raw_bytes')::bigint, 0),
        bytes = e.bytes + (facts ->> 'bytes')::bigint
    where e.export_id = current.export_id;

    if object.kind = 'manifest' then
        update auto_backup.exports e
        set
            state = 'complete', completed_at = moment, worker = null, claimed_until = null, manifest = null,
            manifest_key = e.path || object.key, manifest_sha256 = facts ->> 'sha256'
        where e.export_id = current.export_id;
        -- What the weekly look has found missing is still missing.
        update auto_backup.incidents i
        set recovered_at = moment, recovered_by = current.run_id
        where i.backup = current.backup and i.kind = 'offsite' and i.destination = current.destination and i.recovered_at is null
        and i.code not like 'offsite\_object\_%';
        return '{"stage": "complete", "next": {}}';
    end if;
    if final then
        select t.value into layout from jsonb_array_elements(current.tables) t where (t.value ->> 'no')::integer = object.table_no;
        select sum(o.rows) into found
        from auto_backup.export_objects o
        where o.export_id = current.export_id and o.kind = 'rows' and o.table_no = object.table_no and o.state = 'stored';
        if found is distinct from (layout ->> 'total')::bigint then
            perform auto_backup.export_end(
                current.export_id,
                jsonb_build_object('code', 'offsite_rows_gone', 'message', format('%s.%s: %s of %s', layout ->> 'schema', layout ->> 'name', layout ->> 'total', found)),
                moment
            );
            return '{"failed": {"code": "offsite_rows_gone", "retry": false}}';
        end if;
    end if;
    return auto_backup.export_advance(current.export_id, moment);
end
$body$;
