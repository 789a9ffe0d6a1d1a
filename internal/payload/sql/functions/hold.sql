-- Lengthens the lease on a backup by its term. Every change that an apply makes
-- in the database calls this in the same statement, and so fails when another
-- apply has taken over in the meantime, however late it arrives. A lease that
-- has ended and that nobody took goes on.
create or replace function auto_backup.hold(backup text, holder text)
returns void
language plpgsql
set search_path = ''
as $body$
declare
    other auto_backup.leases;
begin
    update auto_backup.leases l
    set expires_at = clock_timestamp() + l.term
    where l.backup = hold.backup and l.holder = hold.holder;
    if found then
        return;
    end if;
    select l.* into other from auto_backup.leases l where l.backup = hold.backup;
    raise exception 'auto_backup: this apply no longer has the lease on backup "%"', hold.backup
    using errcode = 'AB004', detail = case
        when other.backup is null then 'Nobody has it now.'
        else format('It went to %s at %s.', quote_ident(other.who), other.since)
    end;
end
$body$;
