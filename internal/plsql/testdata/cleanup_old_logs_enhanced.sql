declare
  name text;
  deleted bigint;
  oldest timestamptz;
begin
  foreach name in array array['backend_logs', 'app_logs', 'system_logs'] loop
    execute format('delete from %I where created_at < $1', name) using now() - make_interval(days => days_to_keep);
    get diagnostics deleted = row_count;
    execute format('select min(created_at) from %I', name) into oldest;
    return query select name, deleted, oldest, now();
  end loop;
end
