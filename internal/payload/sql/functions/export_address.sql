-- Where a destination stores its objects, as one text: exports to another address are
-- another chain.
create or replace function auto_backup.export_address(destination jsonb)
returns text
language sql
immutable
set search_path = ''
as $body$
    select concat_ws('/', destination ->> 'endpoint', destination ->> 'bucket', nullif(destination ->> 'prefix', ''))
$body$;
