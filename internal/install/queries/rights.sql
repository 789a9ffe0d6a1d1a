-- What decides whether this role can change a backup, before it does so.
--
-- The schema and the log belong to whoever may alter and drop them. log_constraint
-- says that the CHECKs of the log were widened, so that a removal restores them. It
-- is read by query_to_xml where its table exists.
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
