begin
  return query
    select l.id, l.action_type, l.created_at, l.records_affected, l.details, l.success
    from backup_logs l
    order by l.created_at desc
    limit limit_count;
end
