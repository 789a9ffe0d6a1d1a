-- Passwords of the roles that may log in, from a setting: so no statement contains one.

do $$
declare
  entry record;
begin
  for entry in select key, value from jsonb_each_text(current_setting('stack.passwords')::jsonb) loop
    execute format('alter role %I password %L', entry.key, entry.value);
  end loop;
end
$$;
