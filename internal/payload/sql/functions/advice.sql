-- What the reader of an alert should do about a failure, in Portuguese.
create or replace function auto_backup.advice(code text)
returns text
language sql
immutable
set search_path = ''
as $body$
    select case
        when advice.code in ('token_missing', 'token_invalid', 'unauthorized', 'token_not_configured', 'bad_config', 'bad_request', 'wrong_backup', 'method_not_allowed', 'request_too_large', 'unexpected_answer', 'http_401', 'http_403', 'http_404')
            then 'execute terraform apply e depois um backup manual pelo painel'
        when advice.code in ('not_sent', 'no_answer')
            then 'confira no Supabase se o pg_net está ativo e execute um backup manual pelo painel'
        when advice.code in ('timeout', 'unreachable', 'http_402', 'http_503', 'http_504', 'http_546') or advice.code like 'http\_%'
            then 'confira o estado do projeto e os logs da função no Supabase e execute um backup manual pelo painel'
        when advice.code in ('interrupted', 'function_failed', 'log_unreadable')
            then 'confira os logs da função no Supabase e o último backup no painel e, se preciso, execute um backup manual'
        when advice.code in ('log_rejected', 'log_unreachable')
            then 'confira as tabelas backup_logs e system_logs e as suas permissões'
        when advice.code = 'overdue'
            then 'confira o estado do projeto no Supabase, execute terraform plan e faça um backup manual pelo painel'
        else 'corrija a causa informada e execute um backup manual pelo painel'
    end
$body$;
