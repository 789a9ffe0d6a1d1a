-- A text between dollar signs, as function bodies are written, with a tag that does not
-- occur in it.
create or replace function auto_backup.schema_quoted(content text, tag text)
returns text
language plpgsql
immutable
set search_path = ''
as $body$
declare
    mark text := tag;
begin
    for n in 1 .. 1000 loop
        exit when strpos(content, '$' || mark) = 0;
        mark := tag || n;
    end loop;
    return concat('$', mark, '$', content, '$', mark, '$');
end
$body$;
