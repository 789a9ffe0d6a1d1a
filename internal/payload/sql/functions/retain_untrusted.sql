-- What keeps the retention from deleting from a table as postgres, in words; null if
-- nothing does: what other roles can attach to it or to its partitions could run as
-- postgres, and a foreign key to it could delete or change rows elsewhere.
create or replace function auto_backup.retain_untrusted(stored regclass)
returns text
language sql
stable
set search_path = ''
as $body$
    with recursive part (id) as (
        select retain_untrusted.stored::oid
        union
        select i.inhrelid
        from part p
        inner join pg_catalog.pg_inherits i on i.inhparent = p.id
    )

    select coalesce(
        auto_backup.drill_untrusted(retain_untrusted.stored),
        (
            select format('the foreign key %I of %s', k.conname, k.conrelid::regclass)
            from part p
            inner join pg_catalog.pg_constraint k on k.contype = 'f' and k.confrelid = p.id
            order by k.oid
            limit 1
        ),
        (
            select format('the trigger %I of %s', t.tgname, t.tgrelid::regclass)
            from part p
            inner join pg_catalog.pg_trigger t on t.tgrelid = p.id and t.tgenabled <> 'D' and not t.tgisinternal
            order by t.oid
            limit 1
        ),
        (
            select format('the rule %I of %s', w.rulename, w.ev_class::regclass)
            from part p
            inner join pg_catalog.pg_rewrite w on w.ev_class = p.id
            order by w.oid
            limit 1
        ),
        (
            -- Its comparison could be another role's.
            select format('the type of %s.backup_id', a.attrelid::regclass)
            from part p
            inner join pg_catalog.pg_attribute a on a.attrelid = p.id and a.attname = 'backup_id' and not a.attisdropped
            where a.atttypid not in ('uuid'::regtype, 'text'::regtype, 'varchar'::regtype)
            limit 1
        )
    )
$body$;
