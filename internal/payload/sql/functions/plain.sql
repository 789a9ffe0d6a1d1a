-- Foreign text, made fit to be stored and sent: one line of at most `length`
-- characters, without those that would end plain text inside HTML.
create or replace function auto_backup.plain(value text, length integer default 200)
returns text
language sql
immutable
set search_path = ''
as $body$
    select left(
        btrim(regexp_replace(translate(plain.value, '<>&', '‹›＆'), '[[:space:][:cntrl:]]+', ' ', 'g')),
        plain.length
    )
$body$;
