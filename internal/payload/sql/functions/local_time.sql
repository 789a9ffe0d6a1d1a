-- A time in a time zone, in Brazilian or, for language en, in international notation; in
-- UTC if PostgreSQL does not know the zone.
create or replace function auto_backup.local_time(at timestamptz, zone text, language text default 'pt-BR')
returns text
language plpgsql
stable
set search_path = ''
as $body$
declare
    form constant text := case local_time.language when 'en' then 'YYYY-MM-DD HH24:MI' else 'DD/MM/YYYY "às" HH24:MI' end;
begin
    return to_char(local_time.at at time zone local_time.zone, form) || ' (' || local_time.zone || ')';
exception
    when others then
        return to_char(local_time.at at time zone 'UTC', form) || ' (UTC)';
end
$body$;
