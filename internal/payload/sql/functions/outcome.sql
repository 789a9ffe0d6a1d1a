-- What is signed of an outcome, which is the context of a row of public.system_logs or
-- the body of a response. It is all that the watchdog reads of them. The error comes
-- last, because it alone is free text. The Edge Function's outcome.ts has the same list.
create or replace function auto_backup.outcome(type text, document jsonb)
returns text
language sql
immutable
parallel safe
set search_path = ''
as $body$
    select array_to_string(array[
        'backup-outcome-v1',
        outcome.type,
        outcome.document ->> 'run_id',
        outcome.document ->> 'revision',
        outcome.document ->> 'code',
        outcome.document ->> 'sqlstate',
        outcome.document ->> 'backup_id',
        outcome.document ->> 'total_records',
        outcome.document #>> '{alert,state}',
        outcome.document #>> '{alert,emails_sent}',
        outcome.document #>> '{alert,emails_failed}',
        outcome.document ->> 'error'
    ], E'\n', '')
$body$;
