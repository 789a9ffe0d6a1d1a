declare
  alert jsonb;
begin
  if tg_table_name = 'app_logs' then
    if new.level = 'error' then
      alert := jsonb_build_object(
        'type', 'error',
        'source', new.source,
        'message', format('Erro na aplicação: %s - %s', new.source, new.action),
        'details', coalesce(new.details, '{}'));
    end if;
  elsif new.type in ('security', 'database', 'api', 'error') then
    alert := jsonb_build_object(
      'type', case new.type when 'security' then 'critical' else 'error' end,
      'source', new.type,
      'message', new.message,
      'details', coalesce(new.context, '{}'));
  end if;
  if alert is null then
    return new;
  end if;

  insert into system_logs (type, message, context)
  values ('alert_generated', 'Alerta automático gerado: ' || (alert ->> 'message'),
    jsonb_build_object('alert_payload', alert, 'trigger_table', tg_table_name));
  return new;
end
