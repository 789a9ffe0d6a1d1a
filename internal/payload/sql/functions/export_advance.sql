-- Moves an export on to the stage of what it needs next, and returns {"stage", "next"},
-- or {"failed"} if it has ended, because the backup's rows are gone.
create or replace function auto_backup.export_advance(export bigint, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    current auto_backup.exports;
    needed jsonb;
    further text;
begin
    loop
        select e.* into current from auto_backup.exports e where e.export_id = export_advance.export;
        needed := auto_backup.export_next(current);
        further := case current.stage
            when 'freeze' then case
                when not exists (
                    select from jsonb_array_elements(current.tables) t where not t.value ?| array['key', 'total']
                ) then 'rows'
            end
            when 'rows' then case when needed is null then 'schema' end
            when 'schema' then case when needed is null then 'sums' end
            when 'manifest' then null
            else case
                when exists (
                    select from auto_backup.export_objects o
                    where o.export_id = current.export_id and o.kind = current.stage and o.state = 'stored'
                ) then case current.stage when 'sums' then 'recovery' else 'manifest' end
            end
        end;
        exit when further is null;
        if further = 'schema' then
            delete from auto_backup.frozen f where f.export_id = current.export_id;
            -- Nothing was found of a backup that had rows.
            if exists (select from auto_backup.runs r where r.run_id = current.run_id and r.records > 0)
                and (
                    select bool_and(coalesce((t.value ->> 'total')::bigint, 1) = 0)
                    from jsonb_array_elements(current.tables) t
                    where t.value ->> 'source' = 'stored'
                )
            then
                perform auto_backup.export_end(current.export_id, jsonb_build_object('code', 'offsite_rows_gone'), export_advance.at);
                return '{"failed": {"code": "offsite_rows_gone"}}';
            end if;
        end if;
        update auto_backup.exports e set stage = further where e.export_id = current.export_id;
    end loop;
    return jsonb_build_object('stage', current.stage, 'next', needed);
end
$body$;
