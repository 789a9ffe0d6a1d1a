-- Renews the lease on a backup for its term. Every statement with which an apply
-- changes the database calls this, so a change fails if another apply has acquired the
-- lease. A lease that has expired is renewed if no other holder has acquired it.
create or replace function auto_backup.renew(backup text, holder text)
returns void
language plpgsql
set search_path = ''
set lock_timeout = '60s'
as $body$
declare
    other auto_backup.leases;
begin
    update auto_backup.leases l
    set expires_at = clock_timestamp() + l.term
    where l.backup = renew.backup and l.holder = renew.holder;
    if found then
        return;
    end if;
    select l.* into other from auto_backup.leases l where l.backup = renew.backup;
    raise exception 'auto_backup: this apply no longer holds the lease on backup "%"', renew.backup
    using errcode = 'AB004', detail = case
        when other.backup is null then 'Nobody holds it now.'
        else format('%s acquired it at %s.', quote_ident(other.process), other.since)
    end;
end
$body$;
