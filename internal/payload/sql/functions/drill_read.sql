-- Returns the rows of a query, and holds none of its locks afterwards. The rows that
-- RETURN QUERY has collected outlast the subtransaction that is aborted here; its locks
-- do not. So a drill makes nobody wait for longer than one read. `nested` is for a query
-- that looks few rows up by their key in a table that may be large: a hash of that table
-- would read all of it.
create or replace function auto_backup.drill_read(query text, nested boolean default false)
returns setof record
language plpgsql
set search_path = ''
as $body$
begin
    begin
        if drill_read.nested then
            perform pg_catalog.set_config('enable_hashjoin', 'off', true), pg_catalog.set_config('enable_mergejoin', 'off', true);
        end if;
        return query execute drill_read.query;
        raise exception using errcode = 'AB020';
    exception
        when sqlstate 'AB020' then null;
    end;
end
$body$;
