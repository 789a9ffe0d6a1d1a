-- Notes that the dispatcher and one backup are installed, before any other
-- object of the backup is made: whatever is found later carries this ownership marker.
-- An existing backup keeps its settings, but the names of the secrets that are
-- about to be written become its own, and from now on it is the given instance.
-- $1 is the owner, $2 the version of the dispatcher, $3 the name of the
-- backup, $4 the settings of a backup that has none yet, $5 the holder of the
-- backup's lease.
with installed as (
    insert into auto_backup.installation (owner, version, installed_at)
    values ($1::text, $2::text, now())
    on conflict (singleton) do update set owner = excluded.owner, version = excluded.version
    returning version
)

insert into auto_backup.settings (backup, document, owner)
select $3::text, $4::jsonb, $1::text from installed
cross join auto_backup.renew($3::text, $5::text)
on conflict (backup) do update
set owner = excluded.owner, document = case jsonb_typeof(settings.document) when 'object' then settings.document else excluded.document end
    || (select coalesce(jsonb_object_agg(l.list, (
            select coalesce(jsonb_agg(distinct n.name order by n.name), '[]'::jsonb)
            from (
                select jsonb_array_elements_text(
                    case jsonb_typeof(settings.document -> l.list) when 'array' then settings.document -> l.list else '[]'::jsonb end
                ) as name
                union
                select jsonb_array_elements_text(excluded.document -> l.list)
            ) as n
        )), '{}'::jsonb)
        from (values ('secrets'), ('adopted_secrets')) as l (list)
        where settings.document ? l.list or excluded.document ? l.list)
    || jsonb_strip_nulls(jsonb_build_object('instance', excluded.document -> 'instance'))
returning to_jsonb(backup) as result
