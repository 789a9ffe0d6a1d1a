-- What the keys of all objects of a backup at a destination begin with.
create or replace function auto_backup.export_path(backup text, destination text, document jsonb)
returns text
language sql
immutable
set search_path = ''
as $body$
    select concat_ws(
        '/', nullif(export_path.document #>> array['offsite', 'destinations', export_path.destination, 'prefix'], ''),
        lower(coalesce(nullif(export_path.document #>> '{offsite,project_ref}', ''), 'local')), export_path.backup, ''
    )
$body$;
