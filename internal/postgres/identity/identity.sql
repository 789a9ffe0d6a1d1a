-- Which server this is, and which of its databases. The system identifier is a
-- 64-bit number and has to stay text. It is null if the role may not read it.
select jsonb_build_object(
    'system', case
        when pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')
        then pg_catalog.substring(
            pg_catalog.query_to_xml('select system_identifier from pg_catalog.pg_control_system()', true, true, '')::text,
            '<system_identifier>([0-9]+)</system_identifier>'
        )
    end,
    'started', pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'database', pg_catalog.current_database()
) as result
