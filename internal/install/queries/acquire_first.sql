-- Acquires the lease on a backup as acquire.sql does, with the same parameters, and keeps
-- the answer for the statement that postgres.DB.QueryAfter runs after it, leased.sql.
select set_config('auto_backup.answer', (
    a.answer || jsonb_build_object('until', to_char(
        (clock_timestamp() + make_interval(secs => (a.answer ->> 'seconds')::double precision)) at time zone 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS"Z"'
    ))
)::text, true)
from (
    select auto_backup.acquire($1::text, $2::text, $3::text, make_interval(secs => ($4::text)::double precision)) as answer
    offset 0
) as a
