-- Where what is to be is built beside what is there. Nobody sees this schema: it
-- is gone at the end of the script.
create schema if not exists auto_backup;
create schema auto_backup_wanted;

-- What was installed before this column was there had come to its end.
alter table if exists auto_backup.settings add column if not exists completed_at timestamptz default now();
