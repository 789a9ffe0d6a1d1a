-- Roles, memberships, settings, schemas and default privileges as Supabase
-- gives them to a project. supabase_admin is the superuser who owns the
-- extensions; postgres, as whom a project's owner works, is none.
--
-- Left out: the roles and schemas of Auth, Storage, Realtime, GraphQL and the
-- poolers; supautils, which lets postgres do a few things that only superusers
-- may; and, unless it is installed (see safeupdate.sql), pg-safeupdate. Debian has
-- no package of it, and it works on the parse tree, which neither SQL nor a client
-- can see: a look at statement texts would pass and refuse others than it does. A
-- test that needs such a failure has to raise it.

create role postgres login createdb createrole replication bypassrls;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role supabase_read_only_user login bypassrls;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres;
grant pg_monitor, pg_signal_backend, pg_read_all_data to postgres;
grant pg_read_all_data to supabase_read_only_user;

-- What PostgREST's connections get; service_role has nothing of its own, and so
-- the 8 s of authenticator.
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, auth, extensions;

alter database postgres owner to postgres;

create schema extensions;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to postgres;

create extension pgcrypto with schema extensions;
create extension "uuid-ossp" with schema extensions;

grant usage on schema public to postgres, anon, authenticated, service_role;
grant all on schema public to postgres;

alter default privileges for role postgres in schema public
  grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
