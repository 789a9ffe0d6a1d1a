-- name: callable
-- Those functions of schema auto_backup on which parts are based that may be called: not
-- one whose body or rights were changed. The parameter maps the functions to the SHA-256 of their
-- bodies; if it is null, any body will do.
-- parameters: trusted
select p.oid, p.proname as name
from pg_proc p
inner join pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'auto_backup' and p.proname in ('drift', 'catalog', 'token_digest', 'key_digest', 'channel_digests')
and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')
and (:'trusted' is null or :'trusted'::jsonb ->> p.proname = encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'))
and pg_get_userbyid(p.proowner) = 'postgres' and (p.prosecdef or p.proname not in ('token_digest', 'key_digest', 'channel_digests'))
