-- HMAC-SHA256 (RFC 2104) of a message. PostgreSQL's core has only the hash, and an
-- extension for the rest could be missing.
create or replace function auto_backup.hmac(message bytea, key bytea)
returns bytea
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $body$
declare
    short constant bytea := case when length(hmac.key) > 64 then sha256(hmac.key) else hmac.key end;
    inside bytea := decode(repeat('36', 64), 'hex');
    outside bytea := decode(repeat('5c', 64), 'hex');
begin
    for i in 0..length(short) - 1 loop
        inside := set_byte(inside, i, get_byte(short, i) # 54);
        outside := set_byte(outside, i, get_byte(short, i) # 92);
    end loop;
    return sha256(outside || sha256(inside || hmac.message));
end
$body$;
