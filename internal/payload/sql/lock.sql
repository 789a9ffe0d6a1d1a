-- Makes scripts wait for each other. Two that create or drop the same objects at the
-- same time would fail half-way.
do $do$
begin
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('auto_backup', 0));
end
$do$;
