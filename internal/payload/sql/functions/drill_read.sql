-- Returns the rows of a query, and holds none of its locks afterwards. The rows that
-- RETURN QUERY has collected outlast the subtransaction that is aborted here; its locks
-- do not. So a drill makes nobody wait for longer than one read.
create or replace function auto_backup.drill_read(query text)
returns setof record
language plpgsql
set search_path = ''
as $body$
begin
    begin
        return query execute drill_read.query;
        raise exception using errcode = 'AB020';
    exception
        when sqlstate 'AB020' then null;
    end;
end
$body$;
