-- What decides whether this role can change a backup, before it does so.
--
-- The schema and the log belong to whoever may alter and drop them. log_constraint
-- says that the CHECKs of the log were widened, so that a removal restores them. It
-- is read by query_to_xml where its table exists. An apply that installs the
-- dispatcher gives a function to the role auto_backup_agent, which it may have to
-- create; since PostgreSQL 16 that takes ADMIN on an existing role.
select jsonb_build_object(
    'user', current_user,
    'read_only', current_setting('transaction_read_only')::boolean,
    'schema_owner', (
        select pg_get_userbyid(n.nspowner) from pg_namespace n
        where n.nspname = 'auto_backup' and not pg_has_role(n.nspowner, 'usage')
    ),
    'log_owner', (
        select pg_get_userbyid(c.relowner) from pg_class c
        where c.oid = to_regclass('public.backup_logs') and not pg_has_role(c.relowner, 'usage')
    ),
    'agent_missing', to_regrole('auto_backup_agent') is null,
    'agent_allowed', case
        when to_regrole('auto_backup_agent') is null or current_setting('server_version_num')::integer < 160000
            then (select r.rolcreaterole or r.rolsuper from pg_roles r where r.rolname = current_user)
        else pg_has_role('auto_backup_agent', 'member with admin option')
    end,
    'log_widened', case
        when has_table_privilege(to_regclass('auto_backup.installation'), 'select') then (
            xpath(
                '//w/text()',
                query_to_xml(
                    $q$select bool_or(coalesce(to_jsonb(i) -> 'log_constraint', 'null') not in ('null', '{}')) as w
                    from auto_backup.installation i$q$,
                    false, false, ''
                )
            )
        )[1]::text::boolean
    end
) as result
