-- pg-safeupdate as Supabase loads it: DELETE and UPDATE without WHERE fail with 21000
-- in what PostgREST runs. It is also loaded for postgres, but switched off.

alter role authenticator set session_preload_libraries = 'safeupdate';
alter role postgres set session_preload_libraries = 'safeupdate';
alter role postgres set safeupdate.enabled = off;
