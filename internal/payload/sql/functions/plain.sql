-- Prepares text from elsewhere for logs and e-mails: one line of at most `length`
-- characters, without characters that have a meaning in HTML. White space becomes one
-- space; what is not shown is removed, that is control characters, invisible ones,
-- those that change the direction of writing, and private ones. The Edge Function's
-- clean.ts and the provider have the same rule. A text that is much longer than a line
-- is cut first.
create or replace function auto_backup.plain(value text, length integer default 200)
returns text
language sql
immutable
set search_path = ''
as $body$
    select left(
        btrim(regexp_replace(
            regexp_replace(
                translate(left(plain.value, 20 * plain.length), '<>&', '‹›＆'),
                '[\u0001-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ue000-\uf8ff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\U000f0000-\U000ffffd\U00100000-\U0010fffd]+',
                '', 'g'
            ),
            '[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g'
        )),
        plain.length
    )
$body$;
