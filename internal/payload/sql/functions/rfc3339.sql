-- A time in RFC 3339, in UTC.
create or replace function auto_backup.rfc3339(at timestamptz)
returns text
language sql
stable
set search_path = ''
as $body$
    select to_char(
        rfc3339.at at time zone 'UTC',
        case when date_trunc('second', rfc3339.at) = rfc3339.at
            then 'YYYY-MM-DD"T"HH24:MI:SS"Z"' else 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
        end
    )
$body$;
