-- Records the outcome of the alert about an incident: in the incident, in the run that
-- opened it, and in the watchdog's row in public.system_logs. Returns null, or why the
-- latter was not possible.
create or replace function auto_backup.settle_alert(
    incident_id bigint, state text, alerted_by text, at timestamptz, http_status integer default null, error text default null
)
returns text
language plpgsql
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    incident auto_backup.incidents;
    posted_at timestamptz;
begin
    update auto_backup.incidents i
    set
        alert_state = settle_alert.state,
        alerted_by = settle_alert.alerted_by,
        alert_http_status = settle_alert.http_status,
        alert_error = settle_alert.error,
        alerted_at = case when settle_alert.state = 'delivered' then settle_alert.at end
    where i.incident_id = settle_alert.incident_id
    returning * into incident;
    update auto_backup.runs r
    set alert_state = settle_alert.state
    where r.run_id = incident.run_id
    returning r.posted_at into posted_at;

    begin
        perform auto_backup.write_outside('log_alert', jsonb_build_object(
            'since', coalesce(posted_at, now() - interval '1 day') - interval '10 seconds',
            'key', case incident.kind when 'failed' then 'run_id' else 'incident_id' end,
            'id', case incident.kind when 'failed' then incident.run_id::text else incident.incident_id::text end,
            'alert', jsonb_strip_nulls(jsonb_build_object(
                'state', settle_alert.state, 'by', settle_alert.alerted_by, 'http_status', settle_alert.http_status,
                'at', auto_backup.rfc3339(settle_alert.at)
            ))
        ));
        return null;
    exception
        when others then
            return 'public.system_logs cannot be written: ' || auto_backup.plain(sqlerrm) || auto_backup.locked_by('public.system_logs', sqlstate);
    end;
end
$body$;
