-- Writes where other roles can attach code, with the rights of the role
-- auto_backup_agent, which has no others: 'request' queues a request in pg_net and
-- returns its ID, 'withdraw' deletes one from the queue, 'log' inserts a row into
-- public.system_logs, 'log_alert' adds the outcome of an alert to it, and 'close'
-- writes how a run ended to public.backup_logs. Those return the number of rows.
--
-- A trigger or a CHECK there would otherwise run as postgres. In a SECURITY DEFINER
-- function no code can change the role back. What would only run later, when the job
-- commits as postgres, is refused at the end; the write is then rolled back.
--
-- It is dropped first, because postgres may not replace a function of another role.
drop function if exists auto_backup.write_outside(text, jsonb);
create or replace function auto_backup.write_outside(what text, input jsonb)
returns bigint
language plpgsql
security definer
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    -- The application's own trigger functions may have unqualified names, and PostgREST
    -- calls them with these schemas. pg_temp comes last, so that nothing temporary
    -- hides a table. pg_net needs no schema.
    path constant text := case when what in ('request', 'withdraw') then '' else 'public, extensions, pg_temp' end;
    locked constant oid[] := array(
        select l.relation from pg_catalog.pg_locks l where l.pid = pg_backend_pid() and l.mode = 'RowExclusiveLock'
    );
    cursors constant text[] := array(select c.name from pg_catalog.pg_cursors c);
    result bigint;
    object text;
begin
    perform set_config('search_path', path, true);
    case what
        when 'request' then
            if input ? 'body' then
                result := net.http_post(
                    url := input ->> 'url', params := coalesce(input -> 'params', '{}'), headers := input -> 'headers',
                    body := input -> 'body', timeout_milliseconds := (input ->> 'timeout_milliseconds')::integer
                );
            else
                result := net.http_get(
                    url := input ->> 'url', params := coalesce(input -> 'params', '{}'), headers := input -> 'headers',
                    timeout_milliseconds := (input ->> 'timeout_milliseconds')::integer
                );
            end if;
        when 'withdraw' then
            delete from net.http_request_queue q
            where q.ctid in (
                select w.ctid
                from net.http_request_queue w
                where w.id = (input ->> 'request_id')::bigint
                and case
                    when input ? 'message_id' and pg_column_size(w.headers) <= 2048 then w.headers ->> 'webhook-id' = input ->> 'message_id'
                    when pg_column_size(w.body) <= 2048 then position(convert_to(input ->> 'run_id', 'UTF8') in w.body) > 0
                end
                for update skip locked
            );
            get diagnostics result = row_count;
        when 'log' then
            insert into public.system_logs (type, message, context)
            values (input ->> 'type', input ->> 'message', input -> 'context');
            get diagnostics result = row_count;
        when 'log_alert' then
            update public.system_logs l
            set context = l.context || pg_catalog.jsonb_build_object('alert', input -> 'alert')
            where l.type = 'auto_backup_error'
            and l.created_at >= (input ->> 'since')::timestamptz
            and l.context ->> 'reported_by' = 'watchdog'
            and l.context ->> (input ->> 'key') = input ->> 'id';
            get diagnostics result = row_count;
        when 'close' then
            update public.backup_logs l
            set
                success = (input ->> 'success')::boolean,
                records_affected = (input ->> 'records')::bigint,
                details = input ->> 'details'
            where l.id = (input ->> 'run_id')::uuid and l.details like 'Backup automático iniciado%';
            get diagnostics result = row_count;
    end case;

    -- A SET of such code would outlast this function, and postgres would look up its
    -- names along that path. Until the path is restored, names are qualified here.
    if pg_catalog.current_setting('search_path') operator(pg_catalog.<>) path then
        perform pg_catalog.set_config('search_path', '', false);
    end if;
    perform pg_catalog.set_config('search_path', '', true);

    select format('the deferrable trigger %I on %s', t.tgname, t.tgrelid::regclass) into object
    from pg_catalog.pg_locks l
    inner join pg_catalog.pg_trigger t on t.tgrelid = l.relation and t.tgdeferrable and not t.tgisinternal and t.tgenabled <> 'D'
    where l.pid = pg_backend_pid() and l.mode = 'RowExclusiveLock' and l.relation <> all (locked)
    limit 1;
    if object is null then
        select format('the cursor %I', c.name) into object
        from pg_catalog.pg_cursors c
        where c.is_holdable and c.name <> all (cursors)
        limit 1;
    end if;
    if object is null then
        select format('the temporary object %I', o.name) into object
        from (
            select c.relname, c.relnamespace, c.relowner from pg_catalog.pg_class c
            union all
            select t.typname, t.typnamespace, t.typowner from pg_catalog.pg_type t
        ) as o (name, namespace, owner)
        where o.namespace = pg_my_temp_schema() and o.owner = current_user::regrole
        limit 1;
    end if;
    if object is not null then
        raise exception 'auto_backup: % would have code of another role run as %', object, session_user
        using errcode = 'AB012', hint = 'Find the triggers of public.system_logs, public.backup_logs and net.http_request_queue that are not the application''s, and drop them.';
    end if;
    return result;
end
$body$;
