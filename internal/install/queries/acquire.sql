-- Acquires the lease on a backup. $1 is the backup, $2 the new holder, $3 its
-- process as people know it, $4 the term in seconds. Adds until when the holder has
-- it, by the database's clock, unless the holder renews it.
select
    a.answer || jsonb_build_object('until', to_char(
        (clock_timestamp() + make_interval(secs => (a.answer ->> 'seconds')::double precision)) at time zone 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS"Z"'
    )) as result
from (
    select auto_backup.acquire($1::text, $2::text, $3::text, make_interval(secs => ($4::text)::double precision)) as answer
    offset 0
) as a
