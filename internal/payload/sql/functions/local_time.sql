-- A time in a time zone, in Brazilian notation; in UTC if PostgreSQL does not know the
-- zone.
create or replace function auto_backup.local_time(at timestamptz, zone text)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return to_char(local_time.at at time zone local_time.zone, 'DD/MM/YYYY "às" HH24:MI') || ' (' || local_time.zone || ')';
exception
    when others then
        return to_char(local_time.at at time zone 'UTC', 'DD/MM/YYYY "às" HH24:MI') || ' (UTC)';
end
$body$;
