-- The row of auto_backup.codes for the code of a failure and its SQLSTATE: the most
-- specific one. The view history chooses in the same way.
create or replace function auto_backup.lookup(code text, sqlstate text)
returns auto_backup.codes
language sql
stable
set search_path = ''
as $body$
    select c.*
    from auto_backup.codes c
    where (c.code = lookup.code and c.sqlstate in ('', lookup.sqlstate))
    or (c.code = 'http_*' and lookup.code like 'http\_%')
    or c.code = 'function_failed'
    order by c.code is distinct from lookup.code, c.code <> 'http_*', c.sqlstate desc
    limit 1
$body$;
