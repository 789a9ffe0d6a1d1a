-- A text as SQL comments. A name may contain a line break, after which it would be a
-- statement.
create or replace function auto_backup.schema_remark(content text)
returns text
language sql
immutable
set search_path = ''
as $body$
    select '-- ' || regexp_replace(content, '[\r\n]+', E'\n-- ', 'g')
$body$;
