-- Restores the CHECKs of public.backup_logs that extend_log_constraint has replaced.
-- Rows that the old CHECK refuses are kept: it is then NOT VALID and applies to new
-- rows only. Returns the names of such constraints.
create or replace function auto_backup.restore_log_constraint()
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '60s'
as $body$
declare
    k record;
    form text;
    suffix text;
    unchecked jsonb := '[]';
begin
    for k in
        select e.key as name, e.value as definition
        from auto_backup.installation i
        cross join jsonb_each_text(i.log_constraint) as e
        where to_regclass('public.backup_logs') is not null
    loop
        -- PostgreSQL prints `x in ('a', 'b')` on a varchar column in a form that it
        -- parses differently, with the same meaning. The printed form alone would not
        -- restore the same schema dump.
        foreach form in array array[
            regexp_replace(
                k.definition, '\(\("?(\w+)"?\)::text = ANY \(\(ARRAY\[([^]]*)\]\)::text\[\]\)\)', '("\1" in (\2))', 'g'
            ),
            k.definition
        ]
        loop
            execute format('alter table public.backup_logs drop constraint if exists %I', k.name);
            begin
                suffix := '';
                execute format('alter table public.backup_logs add constraint %I %s', k.name, form);
            exception
                when check_violation then
                    suffix := ' NOT VALID';
                    execute format('alter table public.backup_logs add constraint %I %s not valid', k.name, form);
            end;
            exit when exists (
                select from pg_catalog.pg_constraint c
                where c.conrelid = 'public.backup_logs'::regclass and c.conname = k.name
                and pg_get_constraintdef(c.oid) = k.definition || suffix
            );
        end loop;
        if suffix <> '' then
            unchecked := unchecked || to_jsonb(k.name);
        end if;
    end loop;
    update auto_backup.installation i set log_constraint = null;
    return unchecked;
end
$body$;
