-- Tells the heartbeat, if it has to know, that a run has started. The message goes out
-- with the run's own request.
create or replace function auto_backup.notify_start(run_id uuid, at timestamptz)
returns void
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    notice bigint;
begin
    insert into auto_backup.notices (backup, channel, event, run_id, happened_at, state, next_at)
    select r.backup, 'heartbeat', 'start', r.run_id, notify_start.at, 'waiting', notify_start.at
    from auto_backup.runs r
    inner join auto_backup.settings s on s.backup = r.backup
    where r.run_id = notify_start.run_id
    -- A plain one knows only success.
    and s.document #>> '{heartbeat,form}' in ('healthchecks', 'sentry', 'cronitor')
    returning notice_id into notice;
    if notice is not null then
        perform auto_backup.notify_post(notice, notify_start.at);
    end if;
end
$body$;
