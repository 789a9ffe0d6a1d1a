-- Everything that backups have in a database, as one JSON document and in one
-- round trip. $1 is a JSON array of names; the answer has these backups and
-- those with a row in auto_backup.settings. What belongs to one of them stands
-- under "each" and its name, what they share beside that. $2 maps functions of
-- schema auto_backup to the SHA-256 of their bodies: one that somebody has
-- changed, or whose rights he has changed, is not called. Rows are read as documents, because a column may be lost.
--
-- A part that is not installed must not make the statement fail, so each part
-- is a query of its own, run by query_to_xml only where its tables exist. Its
-- result travels through XML as hexadecimal digits, because XML would escape
-- the text.
with backup (name) as (
    select asked.name from jsonb_array_elements_text($1::jsonb) as asked (name)
    union
    select convert_from(decode(hex.text::text, 'hex'), 'UTF8')
    from unnest(xpath('//d/text()', case
        when to_regclass('auto_backup.settings') is not null then
            query_to_xml(
                $q$
                    select encode(convert_to(to_jsonb(s) ->> 'backup', 'UTF8'), 'hex') as d
                    from auto_backup.settings s where to_jsonb(s) ->> 'backup' is not null
                $q$,
                false, false, ''
            )
    end)) as hex (text)
),

callable (name) as (
    select p.proname::text
    from pg_proc p
    where p.pronamespace = to_regnamespace('auto_backup') and has_function_privilege(p.oid, 'execute')
    and $2::jsonb ->> p.proname = encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex')
    and pg_get_userbyid(p.proowner) = 'postgres' and (p.prosecdef or p.proname <> 'token_digest')
),

part (backup, name, present, query) as (
    -- What the backups of a project share.
    values
    (
        null,
        'installation',
        to_regclass('auto_backup.installation') is not null,
        $q$select to_jsonb(i) as d from auto_backup.installation i$q$
    ),
    (
        null,
        'backups',
        to_regclass('auto_backup.settings') is not null,
        $q$select jsonb_agg(to_jsonb(s) -> 'backup' order by to_jsonb(s) ->> 'backup') as d from auto_backup.settings s$q$
    ),
    (
        null,
        'functions',
        to_regnamespace('auto_backup') is not null,
        -- A function and another of the same name are neither of them right.
        $q$
            select jsonb_object_agg(f.name, f.digest) as d
            from (
                select p.proname as name, string_agg(encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'), ' ') as digest
                from pg_proc p where p.pronamespace = to_regnamespace('auto_backup') group by p.proname
            ) as f
        $q$
    ),
    (
        null,
        'drift',
        (select count(*) = 2 from callable where callable.name in ('drift', 'catalog')),
        $q$select auto_backup.drift() as d$q$
    ),
    (
        null,
        'log_constraints',
        to_regclass('public.backup_logs') is not null,
        -- Each CHECK is evaluated with a row as the Edge Function writes it:
        -- the text of a CHECK changes by a dump and restore, its meaning does not.
        (
            select
                'select jsonb_agg(c) as d from (values (null::jsonb)'
                || coalesce(string_agg(
                    format(
                        $q$, ((
                            select jsonb_build_object('name', %L::text, 'definition', %L::text, 'admits', coalesce((%s), true))
                            from jsonb_populate_record(null::public.backup_logs, %L::jsonb)
                        ))$q$,
                        k.conname, pg_get_constraintdef(k.oid), pg_get_expr(k.conbin, k.conrelid),
                        sample.row
                    ), ''
                ), '')
                || ') as t (c) where c is not null'
            from pg_constraint k
            -- A column that cannot hold its value is left null: the preflight names it.
            cross join lateral (
                select coalesce(jsonb_object_agg(a.attname, v.value), '{}') as row
                from (
                    values
                    ('id', '"00000000-0000-0000-0000-000000000000"'::jsonb, '{uuid,text,varchar}'::name[]),
                    ('action_type', '"auto_backup"', '{text,varchar}'),
                    ('created_at', to_jsonb(now()), '{timestamptz,timestamp}'),
                    ('records_affected', '0', '{int4,int8,numeric}'),
                    ('details', '"Backup automático"', '{text,varchar}'),
                    ('success', 'false', '{bool}')
                ) as v (name, value, types)
                inner join pg_attribute a on a.attrelid = k.conrelid and a.attname = v.name and not a.attisdropped
                inner join pg_type t on t.oid = a.atttypid and t.typname = any(v.types)
                where t.typname <> 'varchar' or a.atttypmod = -1 or a.atttypmod - 4 >= length(v.value #>> '{}')
            ) as sample
            where k.conrelid = to_regclass('public.backup_logs') and k.contype = 'c'
        )
    )
    union all
    -- What belongs to one.
    select backup.name, own.part, own.present, own.query
    from backup
    cross join lateral (
        values
        (
            'settings',
            to_regclass('auto_backup.settings') is not null,
            -- Older installations have no completed_at: whoever made them came to the end.
            format(
                $q$
                    select to_jsonb(s) || jsonb_build_object(
                        'unfinished', coalesce(to_jsonb(s) -> 'completed_at' = 'null', false),
                        'age', extract(epoch from now() - (to_jsonb(s) ->> 'completed_at')::timestamptz)
                    ) as d
                    from auto_backup.settings s where to_jsonb(s) ->> 'backup' = %L
                $q$, backup.name
            )
        ),
        (
            'jobs',
            to_regclass('cron.job') is not null,
            format(
                $q$
                    select jsonb_agg(jsonb_build_object(
                        'job_id', j.jobid, 'name', j.jobname, 'schedule', j.schedule, 'command', j.command,
                        'active', j.active, 'database', j.database, 'username', j.username, 'orphaned', r.rolname is null
                    ) order by j.jobname, j.username, j.jobid) as d
                    from cron.job j
                    left join pg_roles r on r.rolname = j.username
                    where left(j.jobname, length(%1$L) + 1) = %1$L || '-'
                    -- The name as a whole text or as the last part of an address.
                    or j.command ~ ('[''"/]' || %1$L || '([''"/?]|$)')
                    or strpos(j.command, 'backup_all_data') > 0
                    or r.rolname is null
                $q$, backup.name
            )
        ),
        (
            'vault',
            to_regclass('vault.secrets') is not null,
            format(
                $q$
                    select jsonb_object_agg(v.name, v.description) as d
                    from vault.secrets v
                    where v.name in (%1$L || '/token', %1$L || '/alert-key')
                    or v.name is not null and v.description = 'managed by terraform-provider-aimindset, backup ' || %1$L
                $q$, backup.name
            )
        ),
        (
            'token_digest',
            -- Where vault is gone, the function would raise.
            exists (select from callable where callable.name = 'token_digest') and to_regclass('vault.decrypted_secrets') is not null,
            format($q$select jsonb_build_object('digest', auto_backup.token_digest(%L::text)) as d$q$, backup.name)
        )
    ) as own (part, present, query)
),

found as (
    select
        part.backup,
        jsonb_object_agg(
            part.name,
            case
                when part.present then
                    convert_from(
                        decode(
                            (
                                xpath(
                                    '//d/text()',
                                    query_to_xml(
                                        format(
                                            $q$select encode(convert_to(q.d::text, 'UTF8'), 'hex') as d from (%s) as q$q$,
                                            part.query
                                        ), false, false, ''
                                    )
                                )
                            )[1]::text, 'hex'
                        ), 'UTF8'
                    )::jsonb
            end
        ) as parts
    from part
    group by part.backup
)

select
    jsonb_build_object(
        'extensions', (
            select coalesce(jsonb_object_agg(e.extname, e.extversion), '{}')
            from pg_extension e where e.extname in ('pg_cron', 'pg_net', 'supabase_vault')
        )
    )
    || (select found.parts from found where found.backup is null)
    || jsonb_build_object(
        'each', (
            select coalesce(jsonb_object_agg(found.backup, found.parts), '{}')
            from found where found.backup is not null
        )
    ) as result
