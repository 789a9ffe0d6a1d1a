-- name: stored_table
-- Tables of the application that hold one row for each row of each stored backup.
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
and not exists (select from locked l where l.oid = c.oid)
