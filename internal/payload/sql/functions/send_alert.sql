-- Calls the alert function about an incident, and records in the incident that the call
-- was made or why it could not be made. auto_backup.alerts collects its outcome.
-- `former` says what became of the alert that was sent before, and `refused` is the ID
-- of its request if the gateway refused its keys: then they are sent the other way.
create or replace function auto_backup.send_alert(
    incident_id bigint, at timestamptz, former text default null, refused bigint default null
)
returns void
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    incident auto_backup.incidents;
    run auto_backup.runs;
    document jsonb;
    zone text;
    message text;
    request bigint;
    problem text;
begin
    select i.* into incident from auto_backup.incidents i where i.incident_id = send_alert.incident_id;
    select s.document into document from auto_backup.settings s where s.backup = incident.backup;
    select r.* into run from auto_backup.runs r where r.run_id = incident.run_id;
    zone := coalesce(
        document #>> array['schedules', incident.schedule, 'zone'], document ->> 'timezone', 'UTC'
    );

    if incident.kind = 'overdue' then
        message := format('O backup automático %s está atrasado: ', incident.backup)
            || auto_backup.incident_reason(incident) || '.';
    elsif incident.kind = 'drill' then
        message := format('O teste de restauração do backup automático %s falhou: ', incident.backup)
            || rtrim(auto_backup.incident_reason(incident), '.') || '.';
    elsif incident.kind = 'offsite' then
        message := format('A cópia externa do backup automático %s no destino %s falhou: ', incident.backup, incident.destination)
            || rtrim(auto_backup.incident_reason(incident), '.') || '. O backup no banco de dados não foi afetado.';
    else
        message := format(
            'O backup automático %s (agendamento %s, tentativa %s), previsto para %s, %s. Motivo: %s.',
            incident.backup, incident.schedule, run.attempt, auto_backup.local_time(incident.due_at, zone),
            case incident.code when 'interrupted' then 'foi interrompido' else 'falhou' end,
            rtrim(auto_backup.incident_reason(incident), '.')
        );
    end if;
    if incident.recovered_at is not null then
        message := message || format(
            ' Depois disso, %s terminou com sucesso em %s.',
            case incident.kind when 'drill' then 'um teste' when 'offsite' then 'uma cópia' else 'um backup' end,
            auto_backup.local_time(incident.recovered_at, zone)
        );
    else
        message := message
            || case
                when incident.kind = 'failed' and run.trigger <> 'manual'
                    and run.attempt <= coalesce((document #>> '{retry,attempts}')::integer, 0)
                    then ' Uma nova tentativa será feita automaticamente. Se ela também falhar: '
                else ' O que fazer: '
            end
            || coalesce((auto_backup.lookup(incident.code, run.sqlstate)).advice, 'consulte auto_backup.history') || '.';
    end if;

    begin
        -- Without a key the alert function may refuse the call; its response will show that.
        request := auto_backup.request(
            url := document #>> '{alert,url}',
            headers := '{"Content-Type": "application/json"}'
                || auto_backup.key_headers(incident.backup, send_alert.refused is not null),
            body := jsonb_build_object(
                'type', 'critical',
                'source', auto_backup.plain(coalesce(document #>> '{alert,source}', 'Falha no Backup Automático')),
                'message', auto_backup.plain(message, 1000),
                'timestamp', auto_backup.rfc3339(send_alert.at),
                'details', jsonb_strip_nulls(jsonb_build_object(
                    'incident', incident.backup || '/' || incident.incident_id,
                    'backup', incident.backup,
                    'schedule', incident.schedule,
                    'destination', incident.destination,
                    'due_at', auto_backup.rfc3339(incident.due_at),
                    'run_id', incident.run_id,
                    'attempt', run.attempt,
                    'code', incident.code,
                    'error', auto_backup.incident_reason(incident),
                    'reported_by', 'watchdog'
                ))
            ),
            timeout_milliseconds := 60000
        );
    exception
        when others then
            problem := auto_backup.plain(sqlerrm);
    end;

    update auto_backup.incidents i
    set
        alert_state = 'sent', alerted_by = 'watchdog', alert_attempts = i.alert_attempts + 1,
        alert_request_id = request, alert_requested_at = send_alert.at, alert_posted_at = now(),
        alert_http_status = null, alert_error = coalesce(problem, send_alert.former),
        alert_refused_id = send_alert.refused
    where i.incident_id = send_alert.incident_id;
end
$body$;
