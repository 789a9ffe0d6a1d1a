-- Whether the content of a response is a success that the Edge Function has signed for
-- a probe. `probe` is what auto_backup.probe or auto_backup.offsite_probe returned. Any
-- role may write pg_net's responses, so an apply believes no other. It says nothing else
-- about the token, so the role that reads for an apply may call it.
create or replace function auto_backup.is_probe_answer(backup text, probe jsonb, content text)
returns boolean
language sql
stable
security definer
set search_path = ''
as $body$
    select coalesce(
        length(is_probe_answer.content) <= 16384
        and b.body ->> 'run_id' = is_probe_answer.probe ->> 'run_id'
        -- A failure has a code, which is signed; whether it is a success is not.
        and b.body -> 'success' = 'true' and not b.body ? 'code'
        and auto_backup.is_signed(
            auto_backup.keys(is_probe_answer.backup, (is_probe_answer.probe ->> 'posted_at')::timestamptz),
            auto_backup.outcome(case when is_probe_answer.probe ->> 'action' = 'offsite_probe' then 'offsite_probe' else 'probe' end, b.body),
            b.body ->> 'signature'
        ), false
    )
    from (select auto_backup.json(is_probe_answer.content) as body offset 0) as b
$body$;
