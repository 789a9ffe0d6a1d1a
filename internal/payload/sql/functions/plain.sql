-- Prepares text from elsewhere for logs and e-mails: one line of at most `length`
-- characters, without characters that have a meaning in HTML.
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
