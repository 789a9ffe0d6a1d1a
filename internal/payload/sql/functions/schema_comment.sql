-- The comment on an object as a statement; null if it has none.
create or replace function auto_backup.schema_comment(target text, class oid, object oid, part integer default 0)
returns text
language plpgsql
stable
set search_path = ''
as $body$
begin
    return (
        select format('comment on %s is %L;', schema_comment.target, d.description)
        from pg_catalog.pg_description d
        where d.classoid = schema_comment.class and d.objoid = schema_comment.object and d.objsubid = schema_comment.part
    );
end
$body$;
