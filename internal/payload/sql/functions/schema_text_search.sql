-- Creates a dictionary or a configuration of the text search.
create or replace function auto_backup.schema_text_search(id oid)
returns text
language sql
stable
set search_path = ''
as $body$
    select concat(
        'create text search dictionary ', d.oid::regdictionary, ' (template = ', format('%I.%I', n.nspname, t.tmplname), ', ' || d.dictinitoption, ');',
        E'\n' || auto_backup.schema_comment('text search dictionary ' || d.oid::regdictionary, 'pg_ts_dict'::regclass, d.oid)
    )
    from pg_catalog.pg_ts_dict d
    inner join pg_catalog.pg_ts_template t on t.oid = d.dicttemplate
    inner join pg_catalog.pg_namespace n on n.oid = t.tmplnamespace
    where d.oid = schema_text_search.id
    union all
    select concat(
        'create text search configuration ', c.oid::regconfig, ' (parser = ', format('%I.%I', n.nspname, p.prsname), ');',
        (
            select string_agg(format(E'\nalter text search configuration %s add mapping for %I with %s;', c.oid::regconfig, m.token, m.dictionaries), '' order by m.token)
            from (
                select k.alias as token, string_agg(m.mapdict::regdictionary::text, ', ' order by m.mapseqno) as dictionaries
                from pg_catalog.pg_ts_config_map m
                inner join pg_catalog.ts_token_type(c.cfgparser) as k (tokid, alias, description) on k.tokid = m.maptokentype
                where m.mapcfg = c.oid
                group by k.alias
            ) as m
        ),
        E'\n' || auto_backup.schema_comment('text search configuration ' || c.oid::regconfig, 'pg_ts_config'::regclass, c.oid)
    )
    from pg_catalog.pg_ts_config c
    inner join pg_catalog.pg_ts_parser p on p.oid = c.cfgparser
    inner join pg_catalog.pg_namespace n on n.oid = p.prsnamespace
    where c.oid = schema_text_search.id
$body$;
