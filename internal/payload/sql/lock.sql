-- Two scripts that create or drop the same objects at once would fail in the
-- middle: each waits for the end of the other.
do $do$
begin
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('auto_backup', 0));
end
$do$;
