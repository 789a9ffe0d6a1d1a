-- name: rpcs
-- The functions of schema public that can be called without arguments, as the Data
-- API does, each with a digest of what makes it what it is. Where two have one name,
-- both count. The digest is that of a dumped and restored function too.
-- kind: value
select coalesce(jsonb_object_agg(f.name, f.digest), '{}')
from (
    select
        p.proname as name,
        md5(string_agg(
            concat_ws(
                ' ', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname, p.prosecdef, p.proconfig,
                coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
            ), ' ' order by pg_get_function_arguments(p.oid)
        )) as digest
    from pg_proc p
    inner join pg_language l on l.oid = p.prolang
    where p.pronamespace = to_regnamespace('public') and p.prokind = 'f'
    and p.pronargs = p.pronargdefaults and p.prorettype <> 'trigger'::regtype
    group by p.proname
) as f
