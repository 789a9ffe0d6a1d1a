-- Makes public.backup_logs.action_type accept 'auto_backup'. Every CHECK that
-- `refusing` names is replaced by one with the same name that accepts 'auto_backup' in
-- addition to what the old one accepted. The old definitions are stored for
-- restore_log_constraint. Running it again changes nothing. A CHECK whose evaluation
-- would run code that is not PostgreSQL's own stays as it is: its author would have the
-- rights of this role.
create or replace function auto_backup.extend_log_constraint(refusing jsonb)
returns void
language plpgsql
set search_path = ''
set lock_timeout = '60s'
as $body$
declare
    k record;
    admits boolean;
begin
    for k in
        select c.conname, pg_get_constraintdef(c.oid) as definition, pg_get_expr(c.conbin, c.conrelid) as expression
        from jsonb_array_elements_text(refusing) as r (name)
        inner join pg_catalog.pg_constraint c
            on c.conname = r.name and c.conrelid = 'public.backup_logs'::regclass and c.contype = 'c'
        -- As the plan judges; what PostgreSQL itself has is not in pg_depend.
        where not exists (
            select from pg_catalog.pg_depend d
            where d.classid = 'pg_catalog.pg_constraint'::regclass and d.objid = c.oid
            and d.refclassid <> 'pg_catalog.pg_class'::regclass
        )
        and not exists (
            select from pg_catalog.pg_attribute a
            inner join pg_catalog.pg_type t on t.oid = a.atttypid and t.typtype = 'd'
            where a.attrelid = c.conrelid and a.attnum > 0 and not a.attisdropped
        )
    loop
        execute format(
            'select coalesce((%s), true) from jsonb_populate_record(null::public.backup_logs, $1)', k.expression
        ) into admits using jsonb_build_object(
            'id', '00000000-0000-0000-0000-000000000000', 'action_type', 'auto_backup', 'created_at', now(),
            'records_affected', 0, 'details', 'Backup automático', 'success', false
        );
        continue when admits;
        update auto_backup.installation i
        set log_constraint = jsonb_build_object(k.conname, k.definition) || coalesce(i.log_constraint, '{}');
        -- NOT VALID: existing rows satisfied a narrower condition, and a scan would only
        -- lock the table for longer.
        execute format(
            'alter table public.backup_logs drop constraint %1$I, add constraint %1$I check ((%2$s) or action_type = ''auto_backup'') not valid',
            k.conname, k.expression
        );
    end loop;
end
$body$;
