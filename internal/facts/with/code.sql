-- name: code
-- All code whose needs are checked, in lower case: names are searched in it. That
-- of the SQL function is read if the parameter is not null.
-- with: routine, log_trigger
-- parameters: code
select
coalesce(lower((select string_agg(r.source, ' ') from routine r where r.schema = 'public' and :'code' is not null)), '') as backup,
coalesce(lower((
    select string_agg(m.part[1], ' ')
    from routine r cross join regexp_matches(r.source, '(truncate[^;]*)', 'gi') as m (part)
    where r.schema = 'public' and :'code' is not null
)), '') as truncates,
coalesce(lower((select string_agg(t.prosrc, ' ') from log_trigger t)), '') as triggers
