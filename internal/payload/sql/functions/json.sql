-- A text as a JSON object, or null if it is not one.
create or replace function auto_backup.json(content text)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $body$
declare
    value jsonb;
begin
    if content is null or content !~ '^\s*\{' then
        return null;
    end if;
    value := content::jsonb;
    return case when jsonb_typeof(value) = 'object' then value end;
exception
    when others then
        return null;
end
$body$;
