declare
  changed int;
begin
  update articles
  set published = true, scheduling_status = 'published', updated_at = now()
  where scheduling_status = 'scheduled' and scheduled_for <= now();
  get diagnostics changed = row_count;
  return changed;
end
