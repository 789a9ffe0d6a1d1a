-- Whether a backup is being made now, of any name: it may replace the rows of the one
-- that a drill reads, and must not wait for a drill.
create or replace function auto_backup.drill_disturbed(at timestamptz)
returns boolean
language sql
set search_path = ''
as $body$
    select exists (
        select from auto_backup.runs r
        where r.state in ('requested', 'running')
        and r.requested_at between drill_disturbed.at - interval '1 hour' and greatest(drill_disturbed.at, clock_timestamp())
    )
$body$;
