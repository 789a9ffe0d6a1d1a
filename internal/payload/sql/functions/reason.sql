-- Why a run failed: one clause in Portuguese, for the admin panel and e-mails. The Edge
-- Function's reasons already have this form. Other errors and unknown codes are
-- technical, and follow in brackets.
create or replace function auto_backup.reason(code text, sqlstate text, error text)
returns text
language sql
stable
set search_path = ''
as $body$
    select auto_backup.plain(
        case
            when 'function' = any(c.arises) and reason.error <> '' then reason.error
            else concat_ws(' ', c.reason, '(' || nullif(concat_ws(
                ': ', case when coalesce(c.code, '') not in (reason.code, 'http_*') then reason.code end, nullif(reason.error, '')
            ), '') || ')')
        end
    )
    from auto_backup.lookup(reason.code, reason.sqlstate) as c
$body$;
