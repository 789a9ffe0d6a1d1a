-- Records that a look at a destination could not go on, and gives up the claim. At the
-- third time in a row it ends: that the bucket cannot be read says nothing about what is
-- in it.
create or replace function auto_backup.check_note(check_id bigint, problem jsonb, at timestamptz)
returns void
language sql
set search_path = ''
as $body$
    update auto_backup.export_checks c
    set
        failures = c.failures + 1, failed_at = check_note.at, worker = null, claimed_until = null,
        code = coalesce(substring(check_note.problem ->> 'code' from '^[A-Za-z][A-Za-z0-9_.-]{0,59}$'), 'offsite_failed'),
        error = auto_backup.plain(check_note.problem ->> 'message'),
        http_status = substring(check_note.problem ->> 'status' from '^\d{3}$')::integer,
        state = case when c.failures >= 2 then 'unreadable' else c.state end,
        finished_at = case when c.failures >= 2 then check_note.at end,
        next_at = check_note.at + interval '10 minutes' * (2 ^ c.failures) - interval '30 seconds'
    where c.check_id = check_note.check_id and c.state = 'open'
$body$;
