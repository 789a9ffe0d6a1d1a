-- The manifest of an export, as it has to be stored, byte by byte; in the stage
-- "recovery" what is known of it, from which RECOVERY.md is written. It is made once: a
-- call that died may have stored it. It holds no value of a row.
create or replace function auto_backup.export_manifest(export bigint, worker uuid, at timestamptz default null)
returns text
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(export_manifest.at, clock_timestamp());
    current auto_backup.exports;
    latest auto_backup.exports;
    document jsonb;
    version text;
    manifest text;
begin
    current := auto_backup.export_renew(export_manifest.export, export_manifest.worker, moment);
    if current.stage not in ('recovery', 'manifest') then
        raise exception 'auto_backup: export % is at %, and has no manifest yet', current.export_id, current.stage using errcode = 'AB031';
    elsif current.manifest is not null then
        return current.manifest;
    end if;
    select s.document into document from auto_backup.settings s where s.backup = current.backup;
    select i.version into version from auto_backup.installation i;
    -- No other export to this destination is open.
    select e.* into latest
    from auto_backup.exports e
    where e.backup = current.backup and e.address = current.address and e.state = 'complete'
    order by e.sequence desc
    limit 1;

    manifest := jsonb_pretty(jsonb_build_object(
        'format', 'aimindset-backup/1',
        'project_ref', document #> '{offsite,project_ref}',
        'backup', current.backup,
        'destination', current.destination,
        'sequence', coalesce(latest.sequence, 0) + 1,
        'previous', case
            when latest.export_id is not null then jsonb_build_object('key', latest.manifest_key, 'sha256', latest.manifest_sha256)
        end,
        'run_id', current.run_id,
        'backup_id', current.backup_id,
        'made_at', auto_backup.rfc3339(current.made_at),
        'exported_at', auto_backup.rfc3339(moment),
        'source', jsonb_build_object(
            'server_version', current_setting('server_version'),
            'encoding', current_setting('server_encoding'),
            'collation', (select d.datcollate from pg_catalog.pg_database d where d.datname = current_database()),
            'ctype', (select d.datctype from pg_catalog.pg_database d where d.datname = current_database()),
            'dispatcher_version', version,
            'function_version', split_part(version, '+', 1)
        ),
        'encryption', jsonb_build_object(
            'type', 'cms-authenveloped-data', 'content', 'aes-256-gcm', 'key_wrap', 'rsa-oaep-sha256',
            -- The identifier by which each object names the key.
            'recipients', (
                select jsonb_agg(jsonb_build_object('key_id', left(encode(sha256(decode(r.value, 'base64')), 'hex'), 40)) order by r.place)
                from jsonb_array_elements_text(current.recipients) with ordinality as r (value, place)
            )
        ),
        'compression', 'gzip',
        'tables', (
            select jsonb_agg(
                t.value - array['key', 'key_type', 'total'] || jsonb_build_object(
                    'filter', case t.value ->> 'source' when 'stored' then jsonb_build_object('column', 'backup_id', 'value', current.backup_id) end,
                    'rows', coalesce(o.rows, 0), 'raw_bytes', coalesce(o.raw_bytes, 0), 'digest', coalesce(o.digest, 0)::text,
                    'parts', coalesce(o.parts, '[]')
                ) order by t.place
            )
            from jsonb_array_elements(current.tables) with ordinality as t (value, place)
            cross join lateral (
                select
                    sum(o.rows) as rows, sum(o.raw_bytes) as raw_bytes, sum(o.digest) as digest,
                    jsonb_agg(jsonb_build_object(
                        'key', o.key, 'rows', o.rows, 'raw_bytes', o.raw_bytes, 'raw_sha256', o.raw_sha256, 'bytes', o.bytes, 'sha256', o.sha256
                    ) order by o.part) as parts
                from auto_backup.export_objects o
                where o.export_id = current.export_id and o.kind = 'rows' and o.state = 'stored' and o.table_no = (t.value ->> 'no')::integer
            ) as o
        ),
        'schema', (
            select jsonb_agg(jsonb_build_object(
                'section', case o.part when 1 then 'before' else 'after' end, 'key', o.key,
                'raw_bytes', o.raw_bytes, 'raw_sha256', o.raw_sha256, 'bytes', o.bytes, 'sha256', o.sha256
            ) order by o.part)
            from auto_backup.export_objects o
            where o.export_id = current.export_id and o.kind = 'schema' and o.state = 'stored'
        ),
        'left_out', (
            select auto_backup.schema_left_out(o.relations, o.routines, o.types)
            from auto_backup.export_schema_objects(current.tables, document) as o
        ),
        -- How the live tables that were not copied are filled from the stored rows.
        'restores', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'live', r.value -> 'live', 'copy', r.value -> 'copy', 'columns', coalesce(r.value -> 'columns', 'null')
            ) order by r.place), '[]')
            from jsonb_array_elements(nullif(document #> '{offsite,tables}', 'null')) with ordinality as r (value, place)
            where exists (
                select from jsonb_array_elements(current.tables) t
                where t.value ->> 'source' = 'stored' and r.value -> 'copy' = jsonb_build_array(t.value -> 'schema', t.value -> 'name')
            )
        ),
        'files', (
            select jsonb_agg(jsonb_build_object('kind', o.kind, 'key', o.key, 'bytes', o.bytes, 'sha256', o.sha256) order by o.object_id)
            from auto_backup.export_objects o
            where o.export_id = current.export_id and o.kind in ('sums', 'recovery') and o.state = 'stored'
        ),
        'abandoned', (
            select coalesce(jsonb_agg(o.key order by o.object_id), '[]')
            from auto_backup.export_objects o
            where o.export_id = current.export_id and o.state = 'abandoned'
        ),
        'not_covered', jsonb_build_array(
            case
                when exists (select from jsonb_array_elements(current.tables) t where t.value ->> 'schema' = 'auth' and t.value ->> 'name' = 'users')
                    then jsonb_build_object('surface', 'accounts', 'status', 'partly_covered', 'reason', 'The rows of the tables of schema auth that are listed here; the schema itself belongs to the platform.')
                else jsonb_build_object('surface', 'accounts', 'status', 'not_covered', 'reason', 'auth.users and the other tables of schema auth are not among the tables of this copy.')
            end,
            jsonb_build_object('surface', 'storage', 'status', 'not_covered', 'reason', 'The files of Storage are not in the database.'),
            jsonb_build_object('surface', 'secrets', 'status', 'not_covered', 'reason', 'The secrets of Edge Functions cannot be read.'),
            jsonb_build_object('surface', 'vault', 'status', 'not_covered', 'reason', 'Secrets of the vault are encrypted with a key of the project.'),
            jsonb_build_object('surface', 'functions', 'status', 'not_covered', 'reason', 'The source of Edge Functions is not in the database.'),
            jsonb_build_object('surface', 'settings', 'status', 'not_covered', 'reason', 'The settings of the project (Auth, API, network, custom domains) are not in the database.')
        )
    ));
    -- The last line is the SHA-256 of all lines before it: nothing comes after the newest
    -- manifest whose hash chain would show that it was changed.
    manifest := left(manifest, -2) || E',\n';
    manifest := manifest || '"checksum":"' || encode(sha256(convert_to(manifest, 'UTF8')), 'hex') || E'"}\n';
    if current.stage = 'manifest' then
        update auto_backup.exports e
        set
            manifest = manifest, sequence = coalesce(latest.sequence, 0) + 1,
            previous_key = latest.manifest_key, previous_sha256 = latest.manifest_sha256
        where e.export_id = current.export_id;
    end if;
    return manifest;
end
$body$;
