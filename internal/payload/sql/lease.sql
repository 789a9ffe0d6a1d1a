-- The leases on backups. They guard everything else in this schema, so they are
-- installed first, by a script of their own.

create schema if not exists auto_backup;

create table if not exists auto_backup.leases (
    backup text primary key,
    holder text not null,
    process text not null,
    term interval not null,
    since timestamptz not null,
    expires_at timestamptz not null
);
comment on table auto_backup.leases is
'The Terraform applies in progress, at most one for each backup. The lease of an apply that dies expires.';
