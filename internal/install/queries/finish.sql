-- Finishes an installation as configure.sql does, and releases the backup's lease, in one
-- transaction. $1 is the backup, $2 its settings, $3 the id of its Edge Function, $4 its
-- jobs, $5 the ids of jobs to remove, $6 the holder of the lease.
--
-- It may be sent again after it was carried out, and then finds no lease and what it has
-- left: the settings have the instance of this apply. Without that, renew raises.
with released as (
    delete from auto_backup.leases l where l.backup = $1::text and l.holder = $6::text
    returning l.backup
),

configured as materialized (
    select auto_backup.configure(r.backup, $2::jsonb, $3::text, $4::jsonb, $5::jsonb) as jobs
    from released r
)

select coalesce(
    (select c.jobs from configured c),
    (
        select '{}'::jsonb
        from auto_backup.settings s
        where s.backup = $1::text and s.document = $2::jsonb and s.function_id = $3::text and s.completed_at is not null
        and not exists (select from auto_backup.leases l where l.backup = $1::text)
    ),
    (select to_jsonb(auto_backup.renew($1::text, $6::text)::text))
) as result
