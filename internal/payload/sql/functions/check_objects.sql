-- The objects that a look at a destination has to find: those of the copies that were
-- completed lately, but for those whose lock has ended, because they may be deleted.
create or replace function auto_backup.check_objects(look auto_backup.export_checks)
returns setof auto_backup.export_objects
language sql
stable
set search_path = ''
as $body$
    select o.*
    from auto_backup.exports e
    inner join auto_backup.export_objects o on o.export_id = e.export_id
    where e.backup = look.backup and e.destination = look.destination and e.address = look.address
    and e.state = 'complete' and e.completed_at between look.since and look.started_at
    and o.state = 'stored' and (o.locked_until is null or o.locked_until > look.started_at + interval '1 day')
$body$;
