-- Marks a backup of which nothing exists yet as mark.sql does, and writes its vault
-- secrets, in one transaction. $1 is the owner, $2 the version of the dispatcher, $3 the
-- name of the backup, $4 its settings, $5 the holder of its lease, $6 the values of the
-- vault secrets by their names, $7 their description.
-- Every function has its schema, because the values are secrets; see postgres.DB.
with installed as (
    insert into auto_backup.installation (owner, version, installed_at)
    values ($1::text, $2::text, pg_catalog.now())
    on conflict (singleton) do update set owner = excluded.owner, version = excluded.version
    returning version
),

marked as (
    insert into auto_backup.settings (backup, document, owner)
    select $3::text, $4::jsonb, $1::text from installed
    cross join auto_backup.renew($3::text, $5::text)
    on conflict (backup) do update set owner = excluded.owner, document = excluded.document
    returning backup
),

-- One exists if this was carried out before, and its answer was lost.
written as (
    select
        case
            when v.id is null then vault.create_secret(s.value, s.key, $7::text)::text
            else vault.update_secret(v.id, s.value, null, $7::text)::text
        end as id
    from marked
    cross join pg_catalog.jsonb_each_text($6::jsonb) as s
    left join vault.secrets v on v.name = s.key
)

select pg_catalog.to_jsonb(pg_catalog.count(w.id)) as result from written w
