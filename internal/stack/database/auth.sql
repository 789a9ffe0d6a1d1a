-- The part of Supabase's schema auth that row level security uses: who calls,
-- from the claims which PostgREST puts into the transaction's settings. It
-- replaces the same functions of Supabase's auth server and leaves out its
-- tables and the settings of single claims from before PostgREST 9.

create schema auth;
grant usage on schema auth to anon, authenticated, service_role;
grant all on schema auth to postgres;

create function auth.jwt() returns jsonb
  language sql stable
  return nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb;

create function auth.role() returns text
  language sql stable
  return auth.jwt() ->> 'role';

create function auth.uid() returns uuid
  language sql stable
  return (auth.jwt() ->> 'sub')::uuid;
