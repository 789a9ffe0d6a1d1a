-- Notes what this schema has to be, for auto_backup.drift(). The version is
-- noted when the installation goes on: without one, it is not installed.
insert into auto_backup.installation (owner, version, objects)
values (
    'terraform-provider-aimindset', '',
    auto_backup_wanted.catalog('auto_backup_wanted')
    || jsonb_build_object(
        'server', current_setting('server_version_num')::integer / 10000,
        'codes', (
            select jsonb_object_agg(
                concat_ws(' ', c.code, nullif(c.sqlstate, '')),
                md5(row(c.meaning, c.remedy, c.reason, c.advice, c.arises)::text)
            )
            from auto_backup_wanted.codes c
        )
    )
)
on conflict (singleton) do update set objects = excluded.objects;

drop schema auto_backup_wanted cascade;
