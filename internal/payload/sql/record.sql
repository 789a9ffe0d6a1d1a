-- Records what this schema must contain, for auto_backup.drift(). The version is
-- recorded later: a schema without a version is not installed.
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
