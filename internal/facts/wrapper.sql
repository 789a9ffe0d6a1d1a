-- Asks for chosen parts in one statement and gives one JSON document. Package
-- facts puts in what stands between two @.
--
-- Nothing of what is read has to exist, and the reader need not be allowed to
-- read it. A relation that is missing, altered, forbidden, filtered or locked is
-- noted as such in "relations", and the parts that need it are left out and named
-- in "left_out". So relations are looked up in the catalogue, where to_regclass
-- would raise, and each part that reads one is a query of its own, which
-- query_to_xml runs only where all that it needs can be read. Its result travels
-- through XML as hexadecimal digits, because XML would escape the text.
-- Nothing waits for a lock for long: the queries are planned after this.
with limits as materialized (
    select set_config('lock_timeout', '5s', true) as lock_timeout
),

needed (relation, columns) as (
    select v.* from limits cross join (values @needed@) as v
),

-- The tables whose readers would wait, for a lock or behind somebody who waits for it,
-- and for which session.
locked (oid, holder) as materialized (
    select distinct on (l.relation)
        l.relation,
        jsonb_build_object(
            'process', l.pid, 'role', a.usename, 'application', left(a.application_name, 64), 'state', a.state, 'since', a.xact_start
        )
    from pg_locks l
    left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock' and l.pid <> pg_backend_pid()
    and l.database in (0, (select d.oid from pg_database d where d.datname = current_database()))
    order by l.relation, l.granted desc, a.xact_start
),

state as materialized (
    select
        r.relation, c.oid,
        case
            when c.oid is null then 'missing'
            when not has_schema_privilege(n.oid, 'usage') or not has_table_privilege(c.oid, 'select') then 'forbidden'
            -- A view calls its functions with the rights of the reader.
            when c.relkind = 'v' and exists (
                select from pg_rewrite w
                inner join pg_depend d
                    on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_proc'::regclass
                where w.ev_class = c.oid and not has_function_privilege(d.refobjid, 'execute')
            ) then 'forbidden'
            -- Row level security would hide rows without a word.
            when row_security_active(c.oid) then 'filtered'
            when exists (
                select from unnest(r.columns) as k (name)
                where not exists (
                    select from pg_attribute a
                    where a.attrelid = c.oid and a.attname = k.name and a.attnum > 0 and not a.attisdropped
                )
            ) then 'altered'
            when exists (select from locked l where l.oid = c.oid) then 'locked'
            else 'readable'
        end as state
    from needed r
    left join pg_namespace n on n.nspname = split_part(r.relation, '.', 1)
    left join pg_class c
        on c.relnamespace = n.oid and c.relname = split_part(r.relation, '.', 2) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
),

-- Which of them a part may read.
probed as materialized (
    select s.relation, s.oid, s.state, @usable@ as usable
    from state s
),

-- The backups that parts of single backups are about.
asked (name) as (
    select a.name from jsonb_array_elements_text($1::jsonb) as a (name)
    @installed@
),
@with@
-- The parts: either their value, or the query that gives it.
part (backup, name, needs, value, query) as materialized (
    @parts@
),

answered as materialized (
    select
        p.backup, p.name, p.ready,
        case
            when p.query is null then p.value
            when p.ready then @read p.query@
        end as value
    from (
        select
            a.*,
            not exists (
                select from unnest(a.needs) as n (relation)
                where not exists (select from probed b where b.relation = n.relation and b.usable)
            ) as ready
        from part a
        offset 0
    ) as p
)

select
    (
        select coalesce(jsonb_object_agg(a.name, a.value), '{}') from answered a where a.backup is null
    )
    || jsonb_build_object(
        'relations', (
            select coalesce(jsonb_object_agg(r.relation, r.state), '{}') from probed r where r.relation <> ''
        ),
        'locks', (
            select coalesce(jsonb_object_agg(r.relation, l.holder), '{}') from probed r inner join locked l on l.oid = r.oid
        ),
        'left_out', (
            select coalesce(jsonb_agg(distinct a.name order by a.name), '[]') from answered a where not a.ready
        ),
        'each', (
            select coalesce(jsonb_object_agg(b.backup, b.parts), '{}')
            from (
                select a.backup, jsonb_object_agg(a.name, a.value) as parts
                from answered a where a.backup is not null
                group by a.backup
            ) as b
        )
    ) as result
