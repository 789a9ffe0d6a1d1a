-- The schema of a copy as SQL that an empty database takes in one transaction: section
-- "before" before the rows are loaded, "after" afterwards. Everything belongs to the role
-- that runs it. The text contains the bodies of functions, and so whatever is written in
-- them: it is encrypted as the rows are.
create or replace function auto_backup.schema_sql(tables regclass [], functions regprocedure [], section text, types regtype [] default null)
returns text
language sql
stable
set search_path = ''
as $body$
    select concat(
        'set client_encoding = ''UTF8'';', E'\n',
        'set standard_conforming_strings = on;', E'\n',
        'set check_function_bodies = off;', E'\n',
        'set client_min_messages = warning;', E'\n',
        'set xmloption = content;', E'\n',
        'select pg_catalog.set_config(''search_path'', '''', false);', E'\n',
        string_agg(concat(
            E'\n', case when s.place is distinct from s.former then '-- ' || t.title || E'\n' end, s.statement, E'\n'
        ), '' order by s.place, s.level, s.name collate "C", s.statement collate "C")
    )
    from (
        select *, lag(x.place) over (order by x.place, x.level, x.name collate "C", x.statement collate "C") as former
        from auto_backup.schema_statements(schema_sql.tables::oid [], schema_sql.functions::oid [], schema_sql.types::oid [], schema_sql.section) as x
        where x.statement <> ''
    ) as s
    left join (
        values
        ('before', 10, 'Roles: without a password; memberships and attributes are not part of the copy.'),
        ('before', 20, 'Schemas'), ('before', 30, 'Extensions'), ('before', 40, 'Types, functions, sequences and tables, in the order in which they need each other'),
        ('before', 50, 'Partitions'), ('before', 60, 'Owners of sequences'), ('before', 70, 'Checks of domains that are not valid'), ('before', 80, 'Defaults'),
        ('after', 10, 'Values of sequences'), ('after', 20, 'Keys'), ('after', 30, 'Indexes'), ('after', 40, 'Indexes of partitions'),
        ('after', 50, 'Checks'), ('after', 60, 'Foreign keys'), ('after', 70, 'Statistics'), ('after', 80, 'Functions that need a key'),
        ('after', 90, 'Triggers'), ('after', 100, 'Rules'), ('after', 110, 'Row level security and replica identity'), ('after', 120, 'Policies'), ('after', 125, 'What default privileges of this database have granted'), ('after', 130, 'Grants')
    ) as t (section, place, title) on t.section = schema_sql.section and t.place = s.place
$body$;
