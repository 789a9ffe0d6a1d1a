-- The command of the retention's job: removes one stored backup that the policy does not
-- keep, the oldest first, from all tables in one transaction. Returns what it removed, or
-- "skipped" with the reason. Only backups of the run history that succeeded are removed;
-- what others have made is not counted and stays.
--
-- Nothing is removed while anything is wrong: after a run that failed, while one is open,
-- and unless the newest restore drill was successful. Nor from a table on which another
-- role could have code run, because this deletes as postgres.
create or replace function auto_backup.retain(backup text, at timestamptz default null)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '3s'
as $body$
#variable_conflict use_variable
declare
    moment constant timestamptz := coalesce(retain.at, now());
    document jsonb;
    pair jsonb;
    latest text;
    drilled text;
    kept timestamptz[];
    surplus auto_backup.runs;
    stored regclass;
    object text;
    rows bigint;
    removed jsonb := '{}';
begin
    select s.document into document from auto_backup.settings s where s.backup = retain.backup;
    if coalesce(document -> 'retention', 'null') = 'null' then
        return '{"skipped": "no policy"}';
    end if;
    if pg_catalog.current_setting('transaction_read_only')::boolean then
        return '{"skipped": "the database is read-only"}';
    end if;
    if auto_backup.drill_disturbed(moment) then
        return '{"skipped": "a backup is being made"}';
    end if;
    select r.state into latest
    from auto_backup.runs r
    where r.backup = retain.backup and r.requested_at <= moment
    order by r.requested_at desc
    limit 1;
    select d.state into drilled
    from auto_backup.drills d
    where d.backup = retain.backup and d.state <> 'skipped' and d.started_at <= moment
    order by d.started_at desc, d.drill_id desc
    limit 1;
    if latest is distinct from 'succeeded' then
        return '{"skipped": "the latest run did not succeed"}';
    elsif drilled is distinct from 'successful' then
        return '{"skipped": "the latest restore drill was not successful"}';
    end if;

    select auto_backup.retained(
        array_agg(r.finished_at), document -> 'retention', coalesce(document ->> 'timezone', 'UTC')
    ) into kept
    from auto_backup.runs r
    where r.backup = retain.backup and r.state = 'succeeded' and r.backup_id is not null and r.removed_at is null and r.finished_at <= moment;
    select r.* into surplus
    from auto_backup.runs r
    where r.backup = retain.backup and r.state = 'succeeded' and r.backup_id is not null and r.removed_at is null and r.finished_at <= moment
    and r.finished_at <> all (kept)
    -- Another run may have reported the same backup.
    and not exists (
        select from auto_backup.runs o
        where o.backup_id = r.backup_id and o.state = 'succeeded' and o.finished_at = any (kept)
    )
    order by r.finished_at
    limit 1
    for update skip locked;
    if surplus.run_id is null then
        return '{"skipped": "every backup is kept"}';
    end if;

    for pair in select t.value from jsonb_array_elements(document #> '{drill,tables}') t loop
        stored := pg_catalog.to_regclass(format('%I.%I', pair #>> '{copy,0}', pair #>> '{copy,1}'));
        continue when stored is null or not exists (
            select from pg_catalog.pg_attribute a where a.attrelid = stored and a.attname = 'backup_id' and not a.attisdropped
        );
        -- With this lock, which waits for no backup and stops none, nobody can attach
        -- anything until this transaction ends.
        execute format('lock table %s in row exclusive mode', stored);
        object := coalesce(auto_backup.drill_untrusted(stored), (
            select format('the trigger %I of %s', t.tgname, t.tgrelid::regclass)
            from pg_catalog.pg_trigger t
            where t.tgrelid = stored and t.tgenabled <> 'D' and (not t.tgisinternal or exists (
                -- A foreign key to it would delete or change rows elsewhere.
                select from pg_catalog.pg_constraint k where k.oid = t.tgconstraint and k.confrelid = stored
            ))
            limit 1
        ), (
            select format('the rule %I of %s', w.rulename, w.ev_class::regclass) from pg_catalog.pg_rewrite w where w.ev_class = stored limit 1
        ));
        if object is not null then
            raise exception 'auto_backup: no backup is removed, because % could have other code run', object using errcode = 'AB014';
        end if;
        execute format('delete from %s b where b.backup_id = %L', stored, surplus.backup_id);
        get diagnostics rows = row_count;
        removed := removed || jsonb_build_object(stored::text, rows);
    end loop;
    update auto_backup.runs r set removed_at = moment where r.backup_id = surplus.backup_id and r.backup = retain.backup;
    return jsonb_build_object('backup_id', surplus.backup_id, 'made_at', surplus.finished_at, 'removed', removed);
end
$body$;
