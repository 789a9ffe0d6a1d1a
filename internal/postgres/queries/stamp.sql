-- Notes that the dispatcher and one backup are installed, before any other
-- object of the backup is made: whatever is found later carries this stamp.
-- An existing backup keeps its settings, but the names of the secrets that are
-- about to be written become its own.
-- $1 is the owner, $2 the version of the dispatcher, $3 the name of the
-- backup, $4 the settings of a backup that has none yet, $5 the holder of the
-- backup's lease.
with installed as (
    insert into auto_backup.installation (owner, version, installed_at)
    values ($1::text, $2::text, now())
    on conflict (singleton) do update set owner = excluded.owner, version = excluded.version
    returning version
)

insert into auto_backup.settings (backup, spec, owner)
select $3::text, $4::jsonb, $1::text from installed
cross join auto_backup.hold($3::text, $5::text)
on conflict (backup) do update
set owner = excluded.owner, spec = jsonb_set(settings.spec, '{secrets}', (
    select coalesce(jsonb_agg(distinct n.name order by n.name), '[]'::jsonb)
    from (
        select jsonb_array_elements_text(settings.spec -> 'secrets') as name
        union
        select jsonb_array_elements_text(excluded.spec -> 'secrets')
    ) as n
))
returning to_jsonb(backup) as result
