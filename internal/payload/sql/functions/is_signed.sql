-- Whether a text has a signature that was made with one of the keys. A signature may
-- be cut to 32 digits. The digests are compared, so the time that this takes does not
-- depend on how much of a signature is right.
create or replace function auto_backup.is_signed(keys bytea[], signed text, signature text)
returns boolean
language sql
immutable
parallel safe
set search_path = ''
as $body$
    select is_signed.signature ~ '^(?:[0-9a-f]{32}){1,2}$' and exists (
        select from unnest(is_signed.keys) as k
        where sha256(convert_to(is_signed.signature, 'UTF8')) = sha256(convert_to(left(
            encode(auto_backup.hmac(convert_to(is_signed.signed, 'UTF8'), k), 'hex'), length(is_signed.signature)
        ), 'UTF8'))
    )
$body$;
