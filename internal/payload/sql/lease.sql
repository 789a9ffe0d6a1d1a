-- Who may change which backup now. This stands before everything else of the
-- schema, and so it is installed first, and by itself.

create schema if not exists auto_backup;

create table if not exists auto_backup.leases (
    backup text primary key,
    holder text not null,
    who text not null,
    term interval not null,
    since timestamptz not null,
    expires_at timestamptz not null
);
comment on table auto_backup.leases is
'The applies of Terraform that are under way, one at most for each backup. One that dies leaves a lease that ends by itself.';
