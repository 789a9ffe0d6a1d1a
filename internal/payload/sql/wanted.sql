-- The schema in which the script builds what is wanted, to compare it with what is
-- installed. It is dropped at the end of the script.
create schema if not exists auto_backup;
create schema auto_backup_wanted;

-- Installations from before this column are finished.
alter table if exists auto_backup.settings add column if not exists completed_at timestamptz default now();
