-- The answer to the pg_net request with the id $1, or no row while it is under way.
select jsonb_build_object(
    'status', r.status_code, 'error', r.error_msg, 'content', left(r.content, 2000),
    'error_code', r.headers ->> 'sb-error-code'
) as result
from net._http_response r
where r.id = ($1::text)::bigint
