-- What a backup would meet in a project, as one JSON document and in one round
-- trip. $1 is the SQL function that makes the backup, $2 the table that has to
-- hold its rows (or null), $3 a JSON array of time zones. It is read as a role
-- that may see everything and change nothing, and must not fail because
-- something is missing or closed: catalogs are joined, so that what is not there
-- is null, and tables are read by query_to_xml only where they exist, may be
-- read and are not locked. It takes no lock for which a backup would wait.
with routine as (
    -- Every function of the backup's name, wherever it is.
    select
        p.oid, n.nspname as schema, p.proname, p.prokind, p.provolatile, p.prosecdef, p.proretset, p.proconfig,
        p.pronargs - p.pronargdefaults as required, p.pronargs, p.proowner, l.lanname, t.typname, t.typtype,
        -- A body in standard SQL is kept elsewhere, since PostgreSQL 14.
        case when l.lanname = 'sql' and p.prosrc = '' and p.prokind = 'f' then pg_get_functiondef(p.oid) else p.prosrc end as source,
        (
            select array_agg(a.name order by a.position)
            from unnest(p.proargnames, p.proargmodes) with ordinality as a (name, mode, position)
            where a.mode in ('o', 'b', 't')
        )
        || (
            select array_agg(a.attname::text order by a.attnum)
            from pg_attribute a
            where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        ) as result_columns
    from pg_proc p
    inner join pg_namespace n on n.oid = p.pronamespace
    inner join pg_language l on l.oid = p.prolang
    inner join pg_type t on t.oid = p.prorettype
    where p.proname = $1::text and n.nspname not in ('pg_catalog', 'information_schema')
),

log_trigger as (
    select
        c.relname, t.tgname, t.tgtype, t.tgqual is not null as conditional,
        p.proname, n.nspname, p.prosrc, l.lanname
    from pg_trigger t
    inner join pg_class c on c.oid = t.tgrelid
    inner join pg_proc p on p.oid = t.tgfoid
    inner join pg_namespace n on n.oid = p.pronamespace
    inner join pg_language l on l.oid = p.prolang
    where t.tgrelid in (to_regclass('public.backup_logs'), to_regclass('public.system_logs'))
    and not t.tgisinternal and t.tgenabled in ('O', 'A')
),

-- All code whose needs are looked at: names are searched in it.
code as (
    select
        coalesce(lower((select string_agg(r.source, ' ') from routine r where r.schema = 'public')), '') as backup,
        coalesce(lower((
            select string_agg(m.part[1], ' ')
            from routine r cross join regexp_matches(r.source, '(truncate[^;]*)', 'gi') as m (part)
            where r.schema = 'public'
        )), '') as truncates,
        coalesce(lower((select string_agg(t.prosrc, ' ') from log_trigger t)), '') as triggers
),

relation as (
    select
        c.oid, n.nspname, c.relname, c.relkind, c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.relpages,
        strpos(code.backup, lower(c.relname)) > 0 as mentioned,
        strpos(code.truncates, lower(c.relname)) > 0 as truncated,
        -- The log tables, and every table that the code names.
        n.nspname = 'public' and (
            c.relname in ('backup_logs', 'system_logs', 'alert_subscriptions', coalesce($2::text, ''))
            or strpos(code.backup, lower(c.relname)) > 0
        ) as detailed,
        strpos(code.backup, lower(c.relname)) > 0 or strpos(code.triggers, lower(c.relname)) > 0 as named,
        has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
        and not row_security_active(c.oid)
        and not exists (
            select from pg_locks k
            where k.relation = c.oid and k.mode = 'AccessExclusiveLock'
            and k.database = (select d.oid from pg_database d where d.datname = current_database())
        ) as readable
    from pg_class c
    inner join pg_namespace n on n.oid = c.relnamespace
    cross join code
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_(toast|temp)'
),

person (role, oid) as (
    select r.rolname, r.oid from pg_roles r where r.rolname in ('postgres', 'service_role', 'authenticator')
),

-- What has to be read from tables.
part (name, present, query) as (
    select
        'orphans',
        has_schema_privilege(to_regnamespace('cron'), 'usage') and has_table_privilege(to_regclass('cron.job'), 'select'),
        $q$
            select jsonb_agg(jsonb_build_object('job_id', j.jobid, 'name', j.jobname, 'role', j.username) order by j.jobid) as d
            from cron.job j where not exists (select from pg_catalog.pg_roles r where r.rolname = j.username)
        $q$
    union all
    select
        'history_ahead',
        has_schema_privilege(to_regnamespace('cron'), 'usage')
        and has_table_privilege(to_regclass('cron.job_run_details'), 'select')
        and has_sequence_privilege(to_regclass('cron.runid_seq'), 'select'),
        $q$
            select to_jsonb((select max(d.runid) from cron.job_run_details d) > (select s.last_value from cron.runid_seq s)) as d
        $q$
    union all
    select
        'queued',
        has_schema_privilege(to_regnamespace('net'), 'usage')
        and has_table_privilege(to_regclass('net.http_request_queue'), 'select'),
        $q$select to_jsonb(count(*)) as d from (select from net.http_request_queue limit 1000) as q$q$
    union all
    select
        'subscribers', r.readable,
        $q$select to_jsonb(count(*)) as d from (select from public.alert_subscriptions limit 1000) as s$q$
    from relation r
    where r.oid = to_regclass('public.alert_subscriptions') and r.relkind in ('r', 'p')
    union all
    -- Which nullable columns of the tables that the code names do hold a null,
    -- where another of these tables has a column of the name that takes none. A
    -- large table is not read for it; there, the planner's statistics tell. Nor is
    -- one that the code truncates: whoever reads it would wait for a backup that
    -- is under way, or have it wait.
    select
        'nulls', true,
        (
            select
                'select jsonb_object_agg(t.name, t.columns) as d from (select null::text as name, null::jsonb as columns where false'
                || coalesce(string_agg(format(
                    ' union all select %L, jsonb_strip_nulls(jsonb_build_object(%s)) from %I.%I',
                    r.nspname || '.' || r.relname, c.list, r.nspname, r.relname
                ), ''), '')
                || ') as t'
            from relation r
            inner join lateral (
                select string_agg(format('%L, nullif(bool_or(%I is null), false)', a.attname, a.attname), ', ') as list
                from pg_attribute a
                where a.attrelid = r.oid and a.attnum between 1 and 40 and not a.attisdropped and not a.attnotnull
                and exists (
                    select from relation o
                    inner join pg_attribute b on b.attrelid = o.oid and b.attname = a.attname and b.attnotnull and not b.attisdropped
                    where o.detailed and o.oid <> r.oid
                )
            ) as c on c.list is not null
            where r.detailed and r.mentioned and r.readable and not r.truncated and r.relkind in ('r', 'p', 'm') and r.relpages < 8192
        )
    union all
    -- Each CHECK of the log tables is evaluated with rows as the function writes
    -- them, as far as the columns can hold them and no function of somebody else
    -- is called, which could fail.
    select
        'refusing_checks', true,
        (
            select
                'select jsonb_agg(t.name) as d from (select null::text as name where false'
                || coalesce(string_agg(format(
                    $q$
                        union all select %L where not (
                            select coalesce(bool_and(coalesce((%s), true)), true)
                            from (
                                select (jsonb_populate_record(null::%s, w.row)).* from (values (%L::jsonb), (%L::jsonb)) as w (row)
                            ) as sample
                        )
                    $q$,
                    r.relname || '.' || k.conname, pg_get_expr(k.conbin, k.conrelid), k.conrelid::regclass, sample.one, sample.two
                ), ''), '')
                || ') as t'
            from relation r
            inner join pg_constraint k on k.conrelid = r.oid and k.contype = 'c'
            inner join lateral (
                select jsonb_object_agg(a.attname, v.one) as one, jsonb_object_agg(a.attname, v.two) as two
                from (
                    values
                    ('system_logs', 'type', '"auto_backup"'::jsonb, '"auto_backup_error"'::jsonb, '{text,varchar}'::name[]),
                    ('system_logs', 'message', '"Backup"', '"Backup"', '{text,varchar}'),
                    ('system_logs', 'context', '{"reported_by": "function"}', '{"reported_by": "function"}', '{json,jsonb}'),
                    ('backup_logs', 'action_type', '"auto_backup"', '"auto_backup"', '{text,varchar}'),
                    ('backup_logs', 'records_affected', '0', '1', '{int4,int8,numeric}'),
                    ('backup_logs', 'details', '"Backup"', '"Backup"', '{text,varchar}'),
                    ('backup_logs', 'success', 'false', 'true', '{bool}')
                ) as v (relation, name, one, two, types)
                inner join pg_attribute a on a.attrelid = r.oid and a.attname = v.name and not a.attisdropped
                inner join pg_type t on t.oid = a.atttypid and t.typname = any(v.types)
                where v.relation = r.relname and (a.atttypmod = -1 or a.atttypmod - 4 >= 17)
            ) as sample on sample.one is not null
            where r.nspname = 'public' and r.relname in ('backup_logs', 'system_logs') and r.relkind in ('r', 'p')
            -- What the row leaves out may be what the CHECK is about.
            and not exists (
                select from unnest(k.conkey) as n (number)
                inner join pg_attribute a on a.attrelid = r.oid and a.attnum = n.number
                where not sample.one ? a.attname::text
            )
            and not exists (
                select from pg_depend d
                where d.classid = 'pg_constraint'::regclass and d.objid = k.oid and d.refclassid = 'pg_proc'::regclass
            )
        )
),

read as (
    select
        part.name,
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
        )::jsonb as value
    from part
    where part.present
)

select jsonb_build_object(
    'server', jsonb_build_object(
        'version', current_setting('server_version_num')::integer,
        'in_recovery', pg_is_in_recovery(),
        'user', current_user,
        'database', current_database(),
        -- A role that may create something is one with which an apply is made.
        'writer', has_database_privilege(current_database(), 'create'),
        'sees_processes', pg_has_role('pg_read_all_stats', 'usage')
    ),
    'settings', (
        select jsonb_object_agg(s.name, s.reset_val)
        from pg_settings s
        where s.name in (
            'cron.database_name', 'cron.timezone', 'cron.use_background_workers', 'cron.launch_active_jobs',
            'cron.max_running_jobs', 'max_worker_processes', 'shared_preload_libraries', 'pg_net.database_name'
        )
        -- What the reading role has of its own says nothing about others.
        or (s.name in ('statement_timeout', 'default_transaction_read_only') and s.source in ('default', 'configuration file', 'command line', 'override'))
    ),
    'role_settings', (
        select jsonb_agg(jsonb_build_object(
            'role', coalesce(r.rolname, ''), 'database', s.setdatabase <> 0,
            'name', split_part(setting, '=', 1), 'value', substr(setting, strpos(setting, '=') + 1)
        ))
        from pg_db_role_setting s
        left join pg_roles r on r.oid = s.setrole
        cross join unnest(s.setconfig) as setting
        where (s.setrole = 0 or r.rolname in ('postgres', 'service_role', 'authenticator'))
        and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
    ),
    'roles', (
        select jsonb_object_agg(p.role, jsonb_build_object(
            'bypasses_rls', r.rolbypassrls or r.rolsuper,
            'member_of_service_role', pg_has_role(p.oid, s.oid, 'member'),
            'uses_public', has_schema_privilege(p.oid, u.oid, 'usage'),
            'creates_schemas', has_database_privilege(p.oid, current_database(), 'create')
        ))
        from person p
        inner join pg_roles r on r.oid = p.oid
        left join pg_roles s on s.rolname = 'service_role'
        left join pg_namespace u on u.nspname = 'public'
    ),
    'own_schema', (
        select jsonb_build_object('owner', r.rolname, 'owned', pg_has_role(p.oid, n.nspowner, 'usage'))
        from pg_namespace n
        inner join pg_roles r on r.oid = n.nspowner
        left join person p on p.role = 'postgres'
        where n.nspname = 'auto_backup'
    ),
    'scheduler', exists (select from pg_stat_activity a where a.application_name = 'pg_cron scheduler'),
    'net_worker', exists (
        select from pg_stat_activity a where a.application_name like 'pg\_net % worker' or a.backend_type ilike '%pg\_net%'
    ),
    'background_workers', (
        select count(*) from pg_stat_activity a
        where a.backend_type not in (
            'client backend', 'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer', 'walwriter',
            'walsender', 'startup', 'archiver', 'walreceiver'
        )
    ),
    'extensions', (
        select jsonb_object_agg(v.name, jsonb_build_object(
            'available', v.default_version, 'installed', e.extversion, 'schema', n.nspname, 'owner', o.rolname
        ))
        from pg_available_extensions v
        left join pg_extension e on e.extname = v.name
        left join pg_namespace n on n.oid = e.extnamespace
        left join pg_roles o on o.oid = e.extowner
        where v.name in ('pg_cron', 'pg_net', 'supabase_vault')
    ),
    -- pg_cron writes its tables as the owner of the extension.
    'cron_owner_writes', (
        select bool_and(has_table_privilege(e.extowner, c.oid, r.right) and has_schema_privilege(e.extowner, c.relnamespace, 'usage'))
        from pg_extension e
        cross join pg_class c
        cross join (values ('select'), ('insert'), ('update'), ('delete')) as r ("right")
        where e.extname = 'pg_cron' and c.oid = to_regclass('cron.job')
    ),
    -- What the installation calls, and whether role postgres may.
    'calls', (
        select jsonb_object_agg(f.name, f.allowed)
        from (
            select
                n.nspname || '.' || p.proname as name,
                bool_or(has_function_privilege(o.oid, p.oid, 'execute') and has_schema_privilege(o.oid, n.oid, 'usage')) as allowed
            from pg_proc p
            inner join pg_namespace n on n.oid = p.pronamespace
            left join person o on o.role = 'postgres'
            where (n.nspname, p.proname) in (
                ('cron', 'schedule'), ('cron', 'alter_job'), ('cron', 'unschedule'),
                ('net', 'http_post'), ('vault', 'create_secret'), ('vault', 'update_secret')
            )
            -- The five arguments that the dispatcher names.
            and (n.nspname <> 'net' or p.proargnames @> '{url,body,headers,timeout_milliseconds}')
            group by 1
        ) as f
    ),
    'routines', (
        select jsonb_agg(jsonb_build_object(
            'schema', r.schema, 'kind', r.prokind, 'volatile', r.provolatile = 'v', 'definer', r.prosecdef, 'set', r.proretset,
            'required', r.required, 'arguments', r.pronargs, 'signature', r.oid::regprocedure::text,
            'language', r.lanname, 'type', r.typname, 'type_kind', r.typtype, 'result_columns', r.result_columns,
            'source', r.source,
            'config', r.proconfig, 'owner', o.rolname, 'owner_bypasses_rls', o.rolbypassrls or o.rolsuper,
            'callable', s.oid is null or has_function_privilege(s.oid, r.oid, 'execute')
        ) order by r.schema, r.oid)
        from routine r
        left join pg_roles o on o.oid = r.proowner
        left join person s on s.role = 'service_role'
    ),
    'similar', (
        select jsonb_agg(distinct p.proname)
        from pg_proc p
        where p.pronamespace = to_regnamespace('public') and p.proname like '%backup%' and p.prorettype <> 'trigger'::regtype
    ),
    'relations', (
        select jsonb_agg(jsonb_build_array(r.nspname, r.relname)) from relation r where r.named
    ),
    'functions', (
        select jsonb_agg(distinct p.proname)
        from pg_proc p
        cross join code
        where strpos(code.backup, p.proname) > 0 or strpos(code.triggers, p.proname) > 0
    ),
    'tables', (
        select jsonb_object_agg(r.relname, jsonb_build_object(
            'kind', r.relkind, 'owner', o.rolname, 'rls', r.relrowsecurity, 'force_rls', r.relforcerowsecurity,
            'altered_by_postgres', pg_has_role(p.oid, r.relowner, 'usage'),
            'columns', (
                select jsonb_agg(jsonb_build_object(
                    'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'base', t.typname, 'category', t.typcategory,
                    'length', case when a.atttypmod > 4 and t.typname in ('varchar', 'bpchar') then a.atttypmod - 4 end,
                    'not_null', a.attnotnull or t.typnotnull, 'default', a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
                    'generated', a.attgenerated <> '' or a.attidentity = 'a',
                    'often_null', r.relpages >= 8192 and exists (
                        select from pg_stats s
                        where s.schemaname = r.nspname and s.tablename = r.relname and s.attname = a.attname and s.null_frac > 0
                    ),
                    'sequence_closed', exists (
                        select from pg_depend d
                        inner join pg_attrdef x on x.oid = d.objid and d.classid = 'pg_attrdef'::regclass
                        inner join pg_class q on q.oid = d.refobjid and d.refclassid = 'pg_class'::regclass
                        where x.adrelid = r.oid and x.adnum = a.attnum
                        and case when q.relkind = 'S' then not has_sequence_privilege(s.oid, q.oid, 'usage') else false end
                    ),
                    'rights', concat(
                        case when has_column_privilege(s.oid, r.oid, a.attnum, 'select') then 'S' end,
                        case when has_column_privilege(s.oid, r.oid, a.attnum, 'insert') then 'I' end,
                        case when has_column_privilege(s.oid, r.oid, a.attnum, 'update') then 'U' end
                    )
                ) order by a.attnum)
                from pg_attribute a
                inner join pg_type t on t.oid = a.atttypid
                where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
            ),
            'unique', (
                select jsonb_agg(u.columns)
                from (
                    select (
                        select jsonb_agg(a.attname order by a.attnum)
                        from pg_attribute a where a.attrelid = r.oid and a.attnum = any(i.indkey::smallint[])
                    ) as columns
                    from pg_index i
                    where i.indrelid = r.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
                ) as u
            ),
            -- By role: S, I, U, D and T for truncate. The function's owner is
            -- "owner" where it works with its owner's rights.
            'rights', (
                select jsonb_object_agg(w.role, concat(
                    case when has_table_privilege(w.oid, r.oid, 'select') then 'S' end,
                    case when has_table_privilege(w.oid, r.oid, 'insert') then 'I' end,
                    case when has_table_privilege(w.oid, r.oid, 'update') then 'U' end,
                    case when has_table_privilege(w.oid, r.oid, 'delete') then 'D' end,
                    case when has_table_privilege(w.oid, r.oid, 'truncate') then 'T' end
                ))
                from (
                    select person.role, person.oid from person
                    union all
                    (select 'owner', f.proowner from routine f where f.schema = 'public' order by f.required limit 1)
                ) as w
            ),
            -- For which commands a policy lets service_role through at all.
            'policies', (
                select string_agg(distinct y.polcmd::text, '')
                from pg_policy y
                where y.polrelid = r.oid and y.polpermissive
                and (y.polroles = '{0}' or s.oid = any(y.polroles))
            ),
            'rules', (
                select jsonb_agg(w.rulename) from pg_rewrite w where w.ev_class = r.oid and w.ev_type in ('2', '3') and r.relkind in ('r', 'p')
            )
        ))
        from relation r
        inner join pg_roles o on o.oid = r.relowner
        left join person s on s.role = 'service_role'
        left join person p on p.role = 'postgres'
        where r.detailed
    ),
    'triggers', (
        select jsonb_agg(jsonb_build_object(
            'table', t.relname, 'name', t.tgname, 'type', t.tgtype, 'conditional', t.conditional,
            'function', t.nspname || '.' || t.proname, 'language', t.lanname, 'source', t.prosrc
        ) order by t.relname, t.tgname)
        from log_trigger t
    ),
    -- Which tables hold rows: those of the application, its users and its files.
    -- The statistics are enough for that, and need no lock.
    'filled', (
        select jsonb_agg(r.nspname || '.' || r.relname order by r.nspname, r.relname)
        from relation r
        inner join pg_class c on c.oid = r.oid
        where r.relkind in ('r', 'p', 'm')
        and (r.nspname = 'public' or (r.nspname, r.relname) in (('auth', 'users'), ('storage', 'objects')))
        and (c.reltuples > 0 or pg_stat_get_live_tuples(c.oid) > 0)
        and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype = 'e')
    ),
    'unknown_zones', (
        -- Reading all zones takes a while.
        select jsonb_agg(z.name)
        from jsonb_array_elements_text($3::jsonb) as z (name)
        where not exists (select from pg_timezone_names n where n.name = z.name)
    )
)
|| coalesce((select jsonb_object_agg(read.name, read.value) from read), '{}') as result
