-- Claims an export for a worker, for 150 seconds that each further call extends. Returns
-- {"skip"} with the reason why there is nothing to do for it, or the work: where it
-- belongs, the stage, the tables, and what is "next".
create or replace function auto_backup.export_claim(export bigint, worker uuid, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(export_claim.at, clock_timestamp());
    current auto_backup.exports;
    document jsonb;
    destination jsonb;
    resolved jsonb;
    work jsonb;
begin
    -- Only the owner of this schema can lock its rows; every role can hold an advisory
    -- lock.
    begin
        -- The watchdog may hold the row for a moment. A claim that came too early would be
        -- missed until its next tick.
        select e.* into current from auto_backup.exports e where e.export_id = export_claim.export for no key update;
    exception
        when lock_not_available then
            return '{"skip": "another worker is at it"}';
    end;
    if current.export_id is null then
        return '{"skip": "there is no such export"}';
    elsif current.state <> 'open' then
        return jsonb_build_object('skip', 'it is ' || current.state);
    elsif current.claimed_until >= moment and current.worker is distinct from export_claim.worker then
        return '{"skip": "another worker is at it"}';
    end if;
    select s.document into document from auto_backup.settings s where s.backup = current.backup;
    destination := document #> array['offsite', 'destinations', current.destination];
    if coalesce(destination, 'null') = 'null' or auto_backup.export_address(destination) <> current.address then
        return '{"skip": "the destination was removed or moved"}';
    end if;
    if exists (select from auto_backup.runs r where r.run_id = current.run_id and r.removed_at is not null) then
        perform auto_backup.export_end(current.export_id, jsonb_build_object('code', 'offsite_rows_gone'), moment);
        return '{"skip": "the backup was removed"}';
    end if;

    -- One manifest names the recipients of all objects.
    if current.recipients is distinct from destination -> 'recipients' then
        if current.recipients is not null then
            perform auto_backup.export_restart(current.export_id, false);
        end if;
        update auto_backup.exports e set recipients = destination -> 'recipients' where e.export_id = current.export_id;
    end if;
    -- What a call was writing that died. The manifest has one name only.
    update auto_backup.export_objects o
    set state = 'abandoned'
    where o.export_id = current.export_id and o.state = 'writing' and o.kind <> 'manifest';
    select e.* into current from auto_backup.exports e where e.export_id = export_claim.export;
    if current.tables is null then
        begin
            resolved := auto_backup.export_tables(document, current.destination);
        exception
            when lock_not_available or transaction_rollback then
                resolved := '{"problem": {"code": "offsite_table_locked", "retry": true}}';
        end;
        if resolved ? 'problem' then
            perform auto_backup.export_note(current.export_id, resolved -> 'problem', moment);
            return jsonb_build_object('skip', resolved #>> '{problem,code}');
        end if;
        update auto_backup.exports e set tables = resolved -> 'tables' where e.export_id = current.export_id;
    elsif current.stage = 'rows' and exists (
        -- A crash of the server has emptied it. Counting the lines would take longer with
        -- each of them; a page whose lines are not all there says so itself.
        select from jsonb_array_elements(current.tables) t
        where not t.value ? 'key' and t.value -> 'total' <> '0'
        and not exists (
            select from auto_backup.frozen f
            where f.export_id = current.export_id and f.table_no = (t.value ->> 'no')::integer and f.line_no = (t.value ->> 'total')::bigint
        )
    ) then
        perform auto_backup.export_restart(current.export_id, true);
    end if;
    update auto_backup.exports e
    set worker = export_claim.worker, claimed_at = moment, claimed_until = moment + interval '150 seconds'
    where e.export_id = current.export_id;

    work := auto_backup.export_advance(current.export_id, moment);
    if work ? 'failed' then
        return '{"skip": "the backup was removed"}';
    end if;
    select e.* into current from auto_backup.exports e where e.export_id = export_claim.export;
    return auto_backup.offsite_target(current.backup, current.destination) || jsonb_build_object(
        'export', current.export_id, 'backup', current.backup, 'path', current.path,
        'tables', (
            select jsonb_agg(
                jsonb_build_object('no', t.value -> 'no', 'schema', t.value -> 'schema', 'name', t.value -> 'name', 'source', t.value -> 'source', 'keyed', t.value ? 'key')
                order by t.place
            )
            from jsonb_array_elements(current.tables) with ordinality as t (value, place)
        ),
        'limits', '{"call_raw_bytes": 26214400, "part_raw_bytes": 4194304, "page_rows": 2000, "page_bytes": 2097152, "call_ms": 100000}'::jsonb
    ) || work;
end
$body$;
