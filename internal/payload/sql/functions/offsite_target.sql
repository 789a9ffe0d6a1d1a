-- A destination as the Edge Function needs it, or null if there is none with this key:
-- {"destination", "endpoint", "region", "bucket", "recipients", "lock", "verify",
-- "secrets" (the names of the function's secrets), "path"}.
create or replace function auto_backup.offsite_target(backup text, destination text)
returns jsonb
language sql
stable
set search_path = ''
as $body$
    select jsonb_build_object(
        'destination', offsite_target.destination,
        'endpoint', d.value -> 'endpoint', 'region', d.value -> 'region', 'bucket', d.value -> 'bucket',
        'recipients', d.value -> 'recipients', 'lock', coalesce(d.value -> 'lock', 'null'),
        'verify', coalesce(d.value -> 'verify', '"head"'), 'secrets', d.value -> 'secrets',
        'path', auto_backup.export_path(s.backup, offsite_target.destination, s.document)
    )
    from auto_backup.settings s
    cross join lateral (
        select nullif(s.document #> array['offsite', 'destinations', offsite_target.destination], 'null') as value
    ) as d
    where s.backup = offsite_target.backup and d.value is not null
$body$;
