-- What the database knows of how one backup is doing, as one JSON document and
-- in one round trip. $1 is the backup's name, $2 how many attempts of its
-- history to give.
--
-- Nothing of what is read has to be there, and the reader need not be allowed
-- to read it: a role without rights, a table that is gone, altered or locked by
-- somebody is noted in "relations", and the parts that need it are left out. So
-- tables are looked up in the catalogue, where to_regclass would raise, and each
-- part is a query of its own, which query_to_xml runs only where all that it
-- needs is readable. Its result travels through XML as hexadecimal digits,
-- because XML would escape the text.
with needed (relation, columns) as (
    values
    ('auto_backup.installation', '{owner,version}'::text[]),
    ('auto_backup.settings', '{backup,document,owner,function_id,created_at,updated_at}'),
    ('auto_backup.schedules', '{backup,schedule,since}'),
    ('auto_backup.watchdog', '{backup,watched_at,summary}'),
    (
        'auto_backup.runs',
        '{run_id,backup,schedule,trigger,due_at,attempt,state,tick,request_id,requested_at,finished_at,backup_id,records,code,error,logged_by}'
    ),
    (
        'auto_backup.incidents',
        '{backup,kind,due_at,code,error,opened_at,alert_state,alert_error,alerted_by,recovered_at}'
    ),
    ('auto_backup.history', '{backup,run_id,requested_at,attempt,state,what_happened,sqlstate,tick,request,http,function,log,log_state,recovered,alert}'),
    ('cron.job', '{jobid,jobname,schedule,command,active,database,username}'),
    ('cron.job_run_details', '{jobid,runid,status,return_message,start_time}'),
    ('net.http_request_queue', '{id}'),
    ('vault.secrets', '{name,description}'),
    ('public.backup_logs', '{id,action_type,created_at,records_affected,details,success}'),
    ('public.system_logs', '{type,message,context,created_at}'),
    ('public.alert_subscriptions', '{}')
),

relation as materialized (
    select
        r.relation, c.oid,
        case
            when c.oid is null then 'missing'
            when not has_schema_privilege(n.oid, 'usage') or not has_table_privilege(c.oid, 'select') then 'forbidden'
            -- Row level security would hide rows without a word.
            when row_security_active(c.oid) then 'filtered'
            when exists (
                select from unnest(r.columns) as k (name)
                where not exists (
                    select from pg_attribute a
                    where a.attrelid = c.oid and a.attname = k.name and a.attnum > 0 and not a.attisdropped
                )
            ) then 'altered'
            when exists (
                select from pg_locks l
                where l.locktype = 'relation' and l.relation = c.oid and l.mode = 'AccessExclusiveLock'
                and l.granted and l.pid <> pg_backend_pid()
            ) then 'locked'
            else 'readable'
        end as state
    from needed r
    left join pg_namespace n on n.nspname = split_part(r.relation, '.', 1)
    left join pg_class c
        on c.relnamespace = n.oid and c.relname = split_part(r.relation, '.', 2) and c.relkind in ('r', 'p', 'v', 'm', 'f')
),

-- Tables of the application that hold one row for each row of each generation.
generation as materialized (
    select
        c.oid, format('%I.%I', n.nspname, c.relname) as name,
        exists (
            select from pg_index i
            where i.indrelid = c.oid and i.indkey[0] = b.attnum and i.indisvalid and i.indpred is null
        ) as indexed
    from pg_namespace n
    inner join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p')
    inner join pg_attribute b
        on b.attrelid = c.oid and b.attname = 'backup_id' and b.atttypid = 'uuid'::regtype and not b.attisdropped
    inner join pg_attribute t
        on t.attrelid = c.oid and t.attname = 'backup_created_at' and t.atttypid = 'timestamptz'::regtype and not t.attisdropped
    where n.nspname = 'public'
    and case when has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') then not row_security_active(c.oid) end
    and not exists (
        select from pg_locks l
        where l.locktype = 'relation' and l.relation = c.oid and l.mode = 'AccessExclusiveLock'
        and l.granted and l.pid <> pg_backend_pid()
    )
),

part (name, needs, query) as (
    values
    (
        'installation', '{auto_backup.installation}'::text[],
        $q$select jsonb_build_object('owner', i.owner, 'version', i.version) as d from auto_backup.installation i limit 1$q$
    ),
    (
        'settings', '{auto_backup.settings}',
        format(
            $q$
                select jsonb_build_object(
                    'document', s.document, 'owner', s.owner, 'function_id', s.function_id,
                    -- Older installations have no completed_at: whoever made them came to the end.
                    'unfinished', coalesce(to_jsonb(s) -> 'completed_at' = 'null', false)
                ) as d
                from auto_backup.settings s where s.backup = %L
            $q$, $1::text
        )
    ),
    (
        'times', '{auto_backup.settings}',
        format(
            $q$
                select jsonb_build_object('created_at', s.created_at, 'updated_at', s.updated_at) as d
                from auto_backup.settings s where s.backup = %L
            $q$, $1::text
        )
    ),
    (
        'since', '{auto_backup.schedules}',
        format($q$select jsonb_object_agg(s.schedule, s.since) as d from auto_backup.schedules s where s.backup = %L$q$, $1::text)
    ),
    (
        'watchdog', '{auto_backup.watchdog}',
        format(
            $q$
                select jsonb_build_object('at', w.watched_at, 'problems', w.summary -> 'problems') as d
                from auto_backup.watchdog w where w.backup = %L
            $q$, $1::text
        )
    ),
    (
        'last_success', '{auto_backup.runs}',
        format(
            $q$
                select to_jsonb(r) as d from auto_backup.runs r
                where r.backup = %L and r.state = 'succeeded' order by r.finished_at desc limit 1
            $q$, $1::text
        )
    ),
    (
        -- The newest attempt that its schedule or the watchdog made, for each schedule.
        'latest', '{auto_backup.runs,auto_backup.settings}',
        format(
            $q$
                select jsonb_object_agg(k, to_jsonb(r)) as d
                from auto_backup.settings s
                cross join jsonb_object_keys(
                    case when jsonb_typeof(s.document -> 'schedules') = 'object' then s.document -> 'schedules' else '{}' end
                ) as k
                cross join lateral (
                    select r.* from auto_backup.runs r
                    where r.backup = s.backup and r.schedule = k and r.trigger <> 'manual'
                    order by r.due_at desc, r.attempt desc limit 1
                ) as r
                where s.backup = %L
            $q$, $1::text
        )
    ),
    (
        'failures', '{auto_backup.runs}',
        format(
            $q$
                select to_jsonb(count(*)) as d from auto_backup.runs r
                where r.backup = %1$L and r.state = 'failed' and r.finished_at > coalesce((
                    select max(o.finished_at) from auto_backup.runs o where o.backup = %1$L and o.state = 'succeeded'
                ), '-infinity')
            $q$, $1::text
        )
    ),
    (
        'under_way', '{auto_backup.runs}',
        format(
            $q$
                select jsonb_agg(to_jsonb(r) order by r.requested_at) as d from auto_backup.runs r
                where r.backup = %L and r.state in ('requested', 'running')
            $q$, $1::text
        )
    ),
    (
        'incident', '{auto_backup.incidents}',
        format(
            $q$
                select to_jsonb(i) as d from auto_backup.incidents i
                where i.backup = %L and i.alert_state <> 'suppressed'
                order by i.opened_at desc, i.incident_id desc limit 1
            $q$, $1::text
        )
    ),
    (
        -- The newest attempts, some more than are asked for, and the incidents in between.
        'history', '{auto_backup.history,auto_backup.runs}',
        format(
            $q$
                select jsonb_agg(to_jsonb(h) order by h.requested_at desc, h.attempt desc) as d
                from auto_backup.history h
                where h.backup = %1$L and h.requested_at >= coalesce((
                    select r.requested_at from auto_backup.runs r
                    where r.backup = %1$L order by r.requested_at desc limit 1 offset greatest(%2$s, 5) - 1
                ), '-infinity')
            $q$, $1::text, ($2::text)::integer
        )
    ),
    (
        'jobs', '{cron.job}',
        format(
            $q$
                select jsonb_agg(jsonb_build_object(
                    'job_id', j.jobid, 'name', j.jobname, 'schedule', j.schedule, 'command', j.command,
                    'active', j.active, 'database', j.database, 'username', j.username
                ) order by j.jobname, j.username, j.jobid) as d
                from cron.job j
                where left(j.jobname, length(%1$L) + 1) = %1$L || '-'
                or strpos(j.command, quote_literal(%1$L)) > 0
                or strpos(j.command, '/' || %1$L) > 0
                or strpos(j.command, 'backup_all_data') > 0
            $q$, $1::text
        )
    ),
    (
        -- A job whose role is gone has pg_cron's scheduler restart for ever.
        'orphans', '{cron.job}',
        $q$
            select jsonb_agg(coalesce(j.jobname, j.jobid::text) || ' of role ' || j.username order by j.jobid) as d
            from cron.job j where not exists (select from pg_roles r where r.rolname = j.username)
        $q$
    ),
    (
        -- The latest tick of each job. pg_cron keeps no index but that of runid,
        -- so what is far back in a long history is not looked for.
        'ticks', '{cron.job,cron.job_run_details}',
        $q$
            select jsonb_object_agg(t.jobid, jsonb_build_object(
                'status', t.status, 'message', left(t.return_message, 300), 'at', t.start_time
            )) as d
            from (
                select distinct on (d.jobid) d.jobid, d.status, d.return_message, d.start_time
                from (select o.* from cron.job_run_details o order by o.runid desc limit 5000) as d
                order by d.jobid, d.runid desc
            ) as t
        $q$
    ),
    (
        'newest_tick', '{cron.job_run_details}',
        $q$
            select jsonb_build_object('at', max(d.start_time), 'run_id', max(d.runid)) as d
            from (select o.runid, o.start_time from cron.job_run_details o order by o.runid desc limit 100) as d
        $q$
    ),
    (
        'queue', '{net.http_request_queue}',
        $q$select coalesce(jsonb_agg(q.id), '[]') as d from (select o.id from net.http_request_queue o limit 100) as q$q$
    ),
    (
        'vault', '{vault.secrets}',
        format(
            $q$
                select coalesce(jsonb_object_agg(v.name, v.description), '{}') as d
                from vault.secrets v where v.name in (%1$L || '/token', %1$L || '/alert-key')
            $q$, $1::text
        )
    ),
    (
        -- The application's own word for its backups, for one that keeps no ledger.
        'last_log', '{public.backup_logs}',
        $q$
            select jsonb_build_object('newest', n.d, 'success', s.d) as d
            from (values (1)) as one (row)
            left join lateral (
                select jsonb_build_object('at', l.created_at, 'success', l.success, 'records', l.records_affected, 'details', l.details) as d
                from public.backup_logs l where l.action_type::text = 'backup' order by l.created_at desc limit 1
            ) as n on true
            left join lateral (
                select jsonb_build_object('at', l.created_at, 'success', l.success, 'records', l.records_affected, 'details', l.details) as d
                from public.backup_logs l where l.action_type::text = 'backup' and l.success::text = 'true'
                order by l.created_at desc limit 1
            ) as s on true
        $q$
    ),
    (
        'subscribers', '{public.alert_subscriptions}',
        $q$select to_jsonb(count(*)) as d from (select from public.alert_subscriptions limit 1000) as s$q$
    ),
    (
        -- Vault's view may be gone, or its owner without it: the function would raise.
        'token', '{}',
        (
            select format($q$select jsonb_build_object('digest', auto_backup.token_digest(%L)) as d$q$, $1::text)
            from pg_proc p
            inner join pg_namespace n on n.oid = p.pronamespace
            inner join pg_namespace v on v.nspname = 'vault'
            inner join pg_class c on c.relnamespace = v.oid and c.relname = 'decrypted_secrets'
            where n.nspname = 'auto_backup' and p.proname = 'token_digest' and p.pronargs = 1
            and p.proargtypes[0] = 'text'::regtype and p.prorettype = 'text'::regtype
            and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')
            and has_schema_privilege(p.proowner, v.oid, 'usage') and has_table_privilege(p.proowner, c.oid, 'select')
        )
    ),
    (
        'routine', '{auto_backup.settings}',
        format(
            $q$
                select jsonb_build_object(
                    'exists', count(p.oid) > 0,
                    'executable', coalesce(bool_or(has_function_privilege(r.oid, p.oid, 'execute')), false)
                ) as d
                from auto_backup.settings s
                left join pg_roles r on r.rolname = 'service_role'
                left join pg_namespace n on n.nspname = 'public'
                left join pg_proc p
                    on p.pronamespace = n.oid and p.proname = s.document #>> '{function,rpc}' and p.pronargs = p.pronargdefaults
                where s.backup = %L
                group by s.backup
            $q$, $1::text
        )
    ),
    (
        -- Each CHECK on the action alone, with the action of the function's row.
        -- One that calls other than PostgreSQL's own functions is not evaluated.
        'log_constraints', '{public.backup_logs}',
        (
            select
                'select jsonb_agg(c) as d from (values (null::jsonb)'
                || coalesce(string_agg(
                    format(
                        $q$, ((
                            select jsonb_build_object('name', %L::text, 'definition', %L::text, 'admits', coalesce((%s), true))
                            from (select cast('auto_backup' as %s) as action_type) as t
                        ))$q$,
                        k.conname, pg_get_constraintdef(k.oid), pg_get_expr(k.conbin, k.conrelid), format_type(a.atttypid, null)
                    ), ''
                ), '')
                || ') as t (c) where c is not null'
            from pg_constraint k
            -- What a CHECK says cannot be read of a table that is locked.
            inner join relation l on l.oid = k.conrelid and l.relation = 'public.backup_logs' and l.state = 'readable'
            inner join pg_attribute a on a.attrelid = k.conrelid and a.attname = 'action_type' and k.conkey = array[a.attnum]
            inner join pg_type y on y.oid = a.atttypid and y.typcategory = 'S' and y.typtype = 'b'
            where k.contype = 'c' and not exists (
                select from pg_depend d
                where d.classid = 'pg_constraint'::regclass and d.objid = k.oid and d.refclassid = 'pg_proc'::regclass
            )
        )
    ),
    (
        'generations', '{}',
        (
            select format(
                $q$
                    select jsonb_build_object(
                        'count', count(*), 'oldest', min(g.at), 'newest', max(g.at),
                        'newest_id', (array_agg(g.id order by g.at desc nulls last))[1],
                        'has_last', case when (%3$s) is not null then coalesce(bool_or(g.id = (%3$s)), false) end,
                        'bytes', (select sum(pg_total_relation_size(t)) from unnest(%2$L::oid[]) as t),
                        'tables', %4$L::jsonb
                    ) as d
                    from (select u.id, max(u.at) as at from (%1$s) as u group by u.id) as g
                $q$,
                string_agg(format(
                    case
                        -- One step for each generation, however many rows it has.
                        when g.indexed then $q$
                            (
                                with recursive step as (
                                    (select b.backup_id as id, b.backup_created_at as at from %1$s b order by b.backup_id limit 1)
                                    union all
                                    select n.id, n.at
                                    from step
                                    cross join lateral (
                                        select b.backup_id as id, b.backup_created_at as at
                                        from %1$s b where b.backup_id > step.id order by b.backup_id limit 1
                                    ) as n
                                )

                                select step.id, step.at from step
                            )
                        $q$
                        else '(select b.backup_id as id, max(b.backup_created_at) as at from %1$s b group by b.backup_id)'
                    end, g.name
                ), ' union all ' order by g.name),
                array_agg(g.oid order by g.name),
                case
                    when bool_or(r.state = 'readable') then format(
                        $q$
                            select s.backup_id from auto_backup.runs s
                            where s.backup = %L and s.state = 'succeeded' order by s.finished_at desc limit 1
                        $q$, $1::text
                    )
                    else 'null'
                end,
                jsonb_agg(g.name order by g.name)
            )
            from generation g
            cross join relation r
            where r.relation = 'auto_backup.runs'
            having count(*) > 0
        )
    )
)

select
    jsonb_build_object(
        'now', now(),
        'reader', current_user,
        'database', current_database(),
        'relations', (select jsonb_object_agg(r.relation, r.state) from relation r),
        'extensions', (
            select coalesce(jsonb_object_agg(e.extname, e.extversion), '{}')
            from pg_extension e where e.extname in ('pg_cron', 'pg_net', 'supabase_vault')
        ),
        'functions', (
            select coalesce(jsonb_object_agg(p.proname, encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex')), '{}')
            from pg_proc p
            inner join pg_namespace n on n.oid = p.pronamespace
            where n.nspname = 'auto_backup'
        ),
        'activity', (
            select jsonb_build_object(
                -- Only with this right a reader sees what kind of process each one is.
                'complete', pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
                'pg_cron', coalesce(bool_or(a.application_name = 'pg_cron scheduler' or a.backend_type = 'pg_cron launcher'), false),
                'pg_net', coalesce(bool_or(a.application_name like 'pg\_net %' or a.backend_type like 'pg\_net %'), false)
            )
            from pg_stat_activity a
        ),
        'cron_timezone', (select s.setting from pg_settings s where s.name = 'cron.timezone'),
        'run_id_sequence', (
            select s.last_value from pg_sequences s where s.schemaname = 'cron' and s.sequencename = 'runid_seq'
        ),
        'read_only', exists (
            select from pg_db_role_setting s
            left join pg_roles r on r.oid = s.setrole
            left join pg_database b on b.oid = s.setdatabase
            cross join unnest(s.setconfig) as c (setting)
            where (s.setrole = 0 or r.rolname = 'postgres') and (s.setdatabase = 0 or b.datname = current_database())
            and c.setting ~ '^default_transaction_read_only=(on|true|yes|1)$'
        ) or exists (
            select from pg_settings s
            where s.name = 'default_transaction_read_only' and s.setting = 'on' and s.source = 'configuration file'
        ),
        'lacking', (
            select coalesce(jsonb_agg(p.privilege || ' on ' || l.relation order by l.relation, p.privilege), '[]')
            from relation l
            inner join pg_roles s on s.rolname = 'service_role'
            inner join (values
                ('public.backup_logs', 'SELECT'), ('public.backup_logs', 'INSERT'), ('public.backup_logs', 'UPDATE'),
                ('public.system_logs', 'SELECT'), ('public.system_logs', 'INSERT'), ('public.system_logs', 'UPDATE')
            ) as p (relation, privilege) on p.relation = l.relation
            where l.oid is not null and not has_table_privilege(s.oid, l.oid, p.privilege)
        )
    )
    || jsonb_object_agg(
        part.name,
        case
            when part.query is not null and not exists (
                select from unnest(part.needs) as k (relation)
                where not exists (select from relation r where r.relation = k.relation and r.state = 'readable')
            ) then
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
    ) as result
from part
