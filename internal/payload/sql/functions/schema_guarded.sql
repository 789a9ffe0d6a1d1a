-- Statements that run only under a condition; null without one or without any.
create or replace function auto_backup.schema_guarded(condition text, statements text, otherwise text default null)
returns text
language sql
immutable
set search_path = ''
as $body$
    select case when condition is not null and statements <> '' then 'do ' || auto_backup.schema_quoted(concat(
        E'\nbegin\n    if ', condition, E' then\n        execute ', auto_backup.schema_quoted(E'\n' || statements || E'\n        ', 'sql'), ';',
        E'\n    else\n        raise warning using message = ' || quote_literal(otherwise) || ';',
        E'\n    end if;\nend\n'
    ), 'do') || ';' end
$body$;
