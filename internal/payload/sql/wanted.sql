-- The schema in which the script builds what is wanted, to compare it with what is
-- installed. It is dropped at the end of the script.
create schema if not exists auto_backup;
create schema auto_backup_wanted;

-- Installations from before this column are finished. ALTER TABLE locks the table even
-- where there is nothing to add.
do $do$
begin
    if to_regclass('auto_backup.settings') is not null and not exists (
        select from pg_attribute a
        where a.attrelid = to_regclass('auto_backup.settings') and a.attname = 'completed_at' and not a.attisdropped
    ) then
        alter table auto_backup.settings add column completed_at timestamptz default now();
    end if;
end
$do$;
