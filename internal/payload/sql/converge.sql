-- Makes the tables of schema auto_backup equal to those of schema.sql, whichever
-- version or manual change they come from. The script has just built what is wanted
-- in auto_backup_wanted; this compares the catalogs of the two schemas and removes
-- every difference. Rows are kept, unless a required column without a default is
-- missing.
do $do$
declare
    wanted jsonb := auto_backup_wanted.catalog('auto_backup_wanted');
    found jsonb := auto_backup_wanted.catalog('auto_backup');
    o record;
begin
    -- PostgreSQL cannot replace a view with other columns, or a function with
    -- another result, other arguments or of another kind. Other functions with the
    -- same name are dropped, because a call could mean them.
    if found -> 'view history' -> 'columns' <> wanted -> 'view history' -> 'columns'
        or found -> 'function outcomes()' -> 'result' <> wanted -> 'function outcomes()' -> 'result'
        or exists (
            select from jsonb_each(wanted) w
            where w.key like 'column %' and found -> w.key -> 'type' <> w.value -> 'type'
        )
    then
        drop view if exists auto_backup.history;
    end if;
    for o in
        select f.key as object, substr(f.key, length('function ') + 1) as signature
        from jsonb_each(found) f
        where f.key like 'function %'
        and case
            when wanted ? f.key then
                f.value - array['body', 'language', 'volatility', 'strict', 'leakproof', 'security', 'settings', 'owner']
                <> (wanted -> f.key) - array['body', 'language', 'volatility', 'strict', 'leakproof', 'security', 'settings', 'owner']
            else exists (
                select from jsonb_each(wanted) w
                where w.key like 'function %' and w.value -> 'name' = f.value -> 'name'
            )
        end
    loop
        execute format('drop routine auto_backup.%s', o.signature);
    end loop;

    for o in
        select substr(w.key, length('table ') + 1) as name, case when (w.value -> 'logged')::boolean then 'logged' else 'unlogged' end as kind
        from jsonb_each(wanted) w
        where w.key like 'table %' and found -> w.key <> w.value
    loop
        execute format('alter table auto_backup.%I set %s, disable row level security, no force row level security', o.name, o.kind);
    end loop;

    for o in
        select f.key as object, f.value as is, split_part(f.key, ' ', 1) as kind
        from jsonb_each(found) f
        where f.value is distinct from wanted -> f.key
        and wanted ? ('table ' || (f.value ->> 'table'))
    loop
        case
            when o.kind = 'constraint' then
                execute format('alter table auto_backup.%I drop constraint if exists %I cascade', o.is ->> 'table', o.is ->> 'name');
            when o.kind = 'index' and ((o.is ->> 'unique')::boolean or wanted ? o.object) then
                execute format('drop index auto_backup.%I', o.is ->> 'name');
            when o.kind in ('trigger', 'rule') then
                execute format('drop %s %I on auto_backup.%I', o.kind, o.is ->> 'name', o.is ->> 'table');
            when o.kind = 'column' and not wanted ? o.object and (o.is ->> 'required')::boolean then
                execute format('alter table auto_backup.%I alter column %I drop not null', o.is ->> 'table', o.is ->> 'name');
            else null;
        end case;
    end loop;

    -- The texts are written again at the end of the script. Without rows, a manual
    -- change of one cannot prevent a column or a key from being restored.
    if wanted ? 'table codes' then
        delete from auto_backup.codes;
    end if;

    for o in
        select w.value as wanted, coalesce(found -> w.key, '{}') as is
        from jsonb_each(wanted) w
        where w.key like 'column %' and found -> w.key is distinct from w.value
    loop
        if o.is = '{}' then
            if (o.wanted ->> 'required')::boolean and not o.wanted ?| array['default', 'identity'] then
                execute format('delete from auto_backup.%I', o.wanted ->> 'table');
            end if;
            execute format(
                'alter table auto_backup.%I add column %I %s %s', o.wanted ->> 'table', o.wanted ->> 'name', o.wanted ->> 'type',
                case when o.wanted ? 'identity' then 'generated always as identity' end
            );
            continue when o.wanted ? 'identity';
        elsif o.is -> 'type' <> o.wanted -> 'type' then
            execute format(
                'alter table auto_backup.%1$I alter column %2$I drop default, alter column %2$I type %3$s using %2$I::text::%3$s',
                o.wanted ->> 'table', o.wanted ->> 'name', o.wanted ->> 'type'
            );
        end if;
        if o.is -> 'identity' is distinct from o.wanted -> 'identity' then
            execute format('alter table auto_backup.%I alter column %I drop identity if exists', o.wanted ->> 'table', o.wanted ->> 'name');
        end if;
        if o.wanted ? 'default' then
            execute format('alter table auto_backup.%I alter column %I set default %s', o.wanted ->> 'table', o.wanted ->> 'name', o.wanted ->> 'default');
            execute format('update auto_backup.%1$I set %2$I = %3$s where %2$I is null', o.wanted ->> 'table', o.wanted ->> 'name', o.wanted ->> 'default');
        elsif not o.wanted ? 'identity' then
            execute format('alter table auto_backup.%I alter column %I drop default', o.wanted ->> 'table', o.wanted ->> 'name');
        end if;
        execute format(
            'alter table auto_backup.%I alter column %I %s not null', o.wanted ->> 'table', o.wanted ->> 'name',
            case when (o.wanted ->> 'required')::boolean then 'set' else 'drop' end
        );
        if o.wanted ? 'identity' and o.is -> 'identity' is distinct from o.wanted -> 'identity' then
            execute format('alter table auto_backup.%I alter column %I add generated always as identity', o.wanted ->> 'table', o.wanted ->> 'name');
        end if;
    end loop;

    -- Keys come before the foreign keys that refer to them, which were dropped with
    -- their keys.
    found := auto_backup_wanted.catalog('auto_backup');
    for o in
        select w.key as object, w.value as wanted
        from jsonb_each(wanted) w
        where split_part(w.key, ' ', 1) in ('constraint', 'index') and not found ? w.key
        order by w.key like 'index %', w.value ->> 'definition' like 'FOREIGN KEY%', w.key
    loop
        if o.object like 'index %' then
            execute o.wanted ->> 'definition';
        else
            execute format('alter table auto_backup.%I add constraint %I %s', o.wanted ->> 'table', o.wanted ->> 'name', o.wanted ->> 'definition');
        end if;
    end loop;
end
$do$;
