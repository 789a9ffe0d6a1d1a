-- What is sent to a heartbeat: what is added to the path of its URL, after `trim` was
-- removed from the path's end, and to its query, and the body, which is a line of text.
-- Every attempt at a due time has the ID of the first one, so a monitor sees one job that
-- starts and ends.
create or replace function auto_backup.notify_ping(notice_id bigint, form text, language text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    event text;
    id uuid;
    parts jsonb := auto_backup.notify_text(notice_id, language);
    line text;
begin
    select n.event, f.run_id into event, id
    from auto_backup.notices n
    inner join auto_backup.runs r on r.run_id = n.run_id
    inner join auto_backup.runs f on f.backup = r.backup and f.schedule = r.schedule and f.due_at = r.due_at
    where n.notice_id = notify_ping.notice_id
    order by f.attempt
    limit 1;
    line := left(concat_ws(' ', (parts ->> 'title') || '.', parts ->> 'what', '(' || (parts ->> 'detail') || ')', parts ->> 'advice'), 2000);
    return '{"trim": "", "path": "", "params": {}}' || case form
        when 'healthchecks' then jsonb_build_object(
            'trim', case event when 'success' then '' else '/' end,
            'path', case event when 'start' then '/start' when 'success' then '' else '/fail' end,
            'params', jsonb_build_object('rid', id), 'body', line
        )
        when 'sentry' then jsonb_build_object('params', jsonb_build_object(
            'status', case event when 'start' then 'in_progress' when 'success' then 'ok' else 'error' end, 'check_in_id', id
        ))
        when 'cronitor' then jsonb_build_object('params', jsonb_build_object(
            'state', case event when 'start' then 'run' when 'success' then 'complete' else 'fail' end, 'series', id, 'message', left(line, 500)
        ))
        else '{}'
    end;
end
$body$;
