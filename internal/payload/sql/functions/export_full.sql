-- Stops a statement that would keep more rows of an export than the database has to have
-- room for.
create or replace function auto_backup.export_full()
returns boolean
language plpgsql
set search_path = ''
as $body$
begin
    raise exception 'auto_backup: the rows that have to be kept until they are copied are too large' using errcode = 'AB032';
end
$body$;
