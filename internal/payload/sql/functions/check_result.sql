-- Records what a worker has found of the objects of auto_backup.check_next: {"results":
-- [{"object_id", "code" of what is wrong or null}]}. Returns how many it was.
create or replace function auto_backup.check_result(check_id bigint, worker uuid, results jsonb, at timestamptz default null)
returns integer
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(check_result.at, clock_timestamp());
    current auto_backup.export_checks;
    seen integer;
begin
    current := auto_backup.check_renew(check_result.check_id, check_result.worker, moment);
    with result as materialized (
        select o.object_id, e.path || o.key as key, substring(r.value ->> 'code' from '^offsite_[a-z_]{1,50}$') as verdict
        from jsonb_array_elements(results -> 'results') r
        inner join auto_backup.check_objects(current) o on o.object_id = (r.value ->> 'object_id')::bigint
        inner join auto_backup.exports e on e.export_id = o.export_id
        where o.object_id > current.last
    ),

    noted as (
        update auto_backup.export_objects o
        set checked_at = moment, check_code = r.verdict
        from result r
        where o.object_id = r.object_id
    )

    update auto_backup.export_checks c
    set
        last = coalesce((select max(r.object_id) from result r), c.last),
        checked = c.checked + (select count(*) from result),
        failures = 0,
        problems = c.problems || coalesce((
            select jsonb_agg(w.problem order by w.object_id)
            from (
                select r.object_id, jsonb_build_object('key', r.key, 'code', r.verdict) as problem
                from result r
                where r.verdict is not null
                order by r.object_id
                limit greatest(50 - jsonb_array_length(c.problems), 0)
            ) as w
        ), '[]')
    where c.check_id = current.check_id
    returning c.checked - current.checked into seen;
    return seen;
end
$body$;
