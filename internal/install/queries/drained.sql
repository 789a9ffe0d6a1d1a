-- Whether every request is answered that a tick of backup $1 may have posted
-- with the token that vault held before its present one. A tick reads the token
-- and posts within one short transaction, which can have begun before the
-- token's change and end after it.
select to_jsonb(
    clock_timestamp() >= v.updated_at + interval '1 second'
    and not exists (
        select from auto_backup.runs r
        where r.backup = $1::text and r.request_id is not null
        and r.posted_at between v.updated_at - interval '5 minutes' and v.updated_at + interval '1 second'
        and not exists (select from net._http_response n where n.id = r.request_id)
    )
) as result
from vault.secrets v
where v.name = $1::text || '/token'
