-- Why a run failed, in Portuguese, for the admin panel and e-mails. Reasons that
-- the Edge Function gave are Portuguese already.
create or replace function auto_backup.reason(code text, error text)
returns text
language sql
immutable
set search_path = ''
as $body$
    select auto_backup.plain(
        case
            when t.text is null then coalesce(nullif(reason.error, ''), 'a função informou uma falha (' || reason.code || ')')
            else t.text || coalesce(' (' || nullif(reason.error, '') || ')', '')
        end
    )
    from (
        select case reason.code
            when 'token_missing' then 'o token da função não está no cofre do banco, e a chamada não pôde ser feita'
            when 'token_invalid' then 'o token da função guardado no cofre do banco está danificado, e a chamada não pôde ser feita'
            when 'not_dispatched' then 'o banco não conseguiu preparar a chamada da função'
            when 'not_sent' then 'a chamada ficou na fila do pg_net e não foi enviada'
            when 'no_answer' then 'a chamada da função se perdeu: não há resposta nem sinal de execução'
            when 'timeout' then 'a função não respondeu a tempo e não deixou sinal de execução'
            when 'unreachable' then 'não foi possível conectar à função'
            when 'unexpected_answer' then 'a resposta não veio da função de backup'
            when 'interrupted' then 'a execução começou e não terminou'
            when 'log_unreadable' then 'a execução começou, mas as tabelas de registro não podem ser lidas'
            when 'function_failed' then 'a função informou uma falha'
            when 'unauthorized' then 'a função recusou o token: o do cofre do banco e o da função são diferentes'
            when 'token_not_configured' then 'a função está sem token'
            when 'bad_config' then 'a configuração da função não é válida'
            when 'bad_request' then 'a função não aceitou o formato da chamada'
            when 'wrong_backup' then 'a função publicada pertence a outro backup'
            when 'method_not_allowed' then 'a função não aceitou o método da chamada'
            when 'request_too_large' then 'a função não aceitou o tamanho da chamada'
            when 'http_401' then 'o Supabase recusou a chamada da função'
            when 'http_402' then 'o projeto está com restrições no Supabase'
            when 'http_403' then 'o Supabase recusou a chamada da função'
            when 'http_404' then 'a função não existe no projeto'
            when 'http_503' then 'a função não pôde ser iniciada'
            when 'http_504' then 'a função não respondeu no tempo limite do Supabase'
            when 'http_546' then 'a função passou dos limites de recursos do Supabase'
            else case when reason.code like 'http\_%' then 'o endereço da função respondeu com erro' end
        end
    ) as t (text)
$body$;
