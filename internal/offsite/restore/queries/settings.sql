-- The settings of the transaction: those under which the lines of a copy were written and no search path.
select
    pg_catalog.set_config('search_path', '', true),
    pg_catalog.set_config('client_encoding', 'UTF8', true),
    pg_catalog.set_config('standard_conforming_strings', 'on', true),
    pg_catalog.set_config('DateStyle', 'ISO, MDY', true),
    pg_catalog.set_config('IntervalStyle', 'postgres', true),
    pg_catalog.set_config('TimeZone', 'UTC', true),
    pg_catalog.set_config('extra_float_digits', '1', true),
    pg_catalog.set_config('bytea_output', 'hex', true),
    pg_catalog.set_config('lc_monetary', 'C', true),
    pg_catalog.set_config('xmloption', 'content', true),
    pg_catalog.set_config('lock_timeout', '60s', true),
    pg_catalog.set_config('statement_timeout', '0', true),
    pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true),
    pg_catalog.set_config('row_security', 'off', true)
