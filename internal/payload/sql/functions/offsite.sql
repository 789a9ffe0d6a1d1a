-- A step of the watchdog: opens the exports that are due, requests the next call of those
-- whose claim is free, ends those whose destination was removed or moved, opens the
-- incidents, and looks weekly at what is stored. Each destination fails alone.
create or replace function auto_backup.offsite(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    document jsonb;
    destination text;
    waiting record;
    opened integer := 0;
    posted integer := 0;
    ended integer := 0;
    problems jsonb := '[]';
begin
    select s.document into document from auto_backup.settings s where s.backup = offsite.backup;
    for waiting in
        select e.export_id
        from auto_backup.exports e
        where e.backup = offsite.backup and e.state = 'open'
        and coalesce(auto_backup.export_address(nullif(document #> array['offsite', 'destinations', e.destination], 'null')), '') <> e.address
        for no key update skip locked
    loop
        perform auto_backup.export_end(waiting.export_id, jsonb_build_object('code', 'offsite_removed'), offsite.at, alert => false);
        ended := ended + 1;
    end loop;
    update auto_backup.export_checks c
    set state = 'unreadable', finished_at = offsite.at, code = 'offsite_removed', worker = null, claimed_until = null
    where c.backup = offsite.backup and c.state = 'open'
    and coalesce(auto_backup.export_address(nullif(document #> array['offsite', 'destinations', c.destination], 'null')), '') <> c.address;
    update auto_backup.incidents i
    set recovered_at = offsite.at
    where i.backup = offsite.backup and i.kind = 'offsite' and i.recovered_at is null
    and coalesce(document #> array['offsite', 'destinations', i.destination], 'null') = 'null';

    for destination in select k from jsonb_object_keys(nullif(document #> '{offsite,destinations}', 'null')) as k order by k loop
        begin
            if auto_backup.offsite_open(offsite.backup, destination, document, offsite.at) is not null then
                opened := opened + 1;
            end if;
            for waiting in
                select e.export_id from auto_backup.exports e
                where e.backup = offsite.backup and e.destination = destination and e.state = 'open'
            loop
                if auto_backup.offsite_call(waiting.export_id, offsite.at) = 'posted' then
                    posted := posted + 1;
                end if;
            end loop;
            if auto_backup.offsite_check(offsite.backup, destination, document #> array['offsite', 'destinations', destination], offsite.at) then
                posted := posted + 1;
            end if;
        exception
            when others then
                problems := problems || to_jsonb(format('%s: %s', destination, auto_backup.plain(sqlerrm)));
        end;
    end loop;
    return jsonb_strip_nulls(jsonb_build_object(
        'opened', nullif(opened, 0), 'posted', nullif(posted, 0), 'ended', nullif(ended, 0), 'problems', nullif(problems, '[]')
    ));
end
$body$;
