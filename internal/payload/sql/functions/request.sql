-- Queues a request in pg_net and returns its ID: a POST of the body, or a GET if that is
-- null. `params` are added to the URL. Until version 0.11, Supabase lets
-- pg_net's function run with the rights of its owner, and does not let every role call
-- it; no other role can attach code to its queue then.
create or replace function auto_backup.request(
    url text, headers jsonb, body jsonb, timeout_milliseconds integer, params jsonb default '{}'
)
returns bigint
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
begin
    if exists (
        select from pg_catalog.pg_proc p
        inner join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'net' and p.proname in ('http_post', 'http_get') and p.prosecdef
        and not (has_schema_privilege('auto_backup_agent', n.oid, 'usage') and has_function_privilege('auto_backup_agent', p.oid, 'execute'))
    ) then
        if request.body is null then
            return net.http_get(
                url := request.url, params := request.params, headers := request.headers,
                timeout_milliseconds := request.timeout_milliseconds
            );
        end if;
        return net.http_post(
            url := request.url, params := request.params, headers := request.headers, body := request.body,
            timeout_milliseconds := request.timeout_milliseconds
        );
    end if;
    return auto_backup.write_outside('request', jsonb_build_object(
        'url', request.url, 'params', request.params, 'headers', request.headers,
        'timeout_milliseconds', request.timeout_milliseconds
    ) || case when request.body is null then '{}' else jsonb_build_object('body', request.body) end);
exception
    when lock_not_available then
        raise exception 'auto_backup: net.http_request_queue cannot be written: %', sqlerrm || auto_backup.locked_by('net.http_request_queue', sqlstate)
        using errcode = sqlstate;
end
$body$;
