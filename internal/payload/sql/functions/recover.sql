-- Records which success ended which incidents. Those about drills end with a drill,
-- those about off-site copies with a copy.
create or replace function auto_backup.recover(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
declare
    recovered integer;
begin
    with success as (
        select
            i.incident_id,
            (
                select r.run_id
                from auto_backup.runs r
                where r.backup = i.backup and r.state = 'succeeded'
                and r.finished_at between i.opened_at and recover.at
                order by r.finished_at
                limit 1
            ) as run_id
        from auto_backup.incidents i
        where i.backup = recover.backup and i.recovered_at is null and i.kind not in ('drill', 'offsite')
    )

    update auto_backup.incidents i
    set recovered_at = r.finished_at, recovered_by = r.run_id
    from success s
    inner join auto_backup.runs r on r.run_id = s.run_id
    where i.incident_id = s.incident_id;
    get diagnostics recovered = row_count;
    return case when recovered > 0 then jsonb_build_object('incidents', recovered) else '{}' end;
end
$body$;
