-- The text of a message: its title, what happened, the detail, which is the only part
-- that others have written, and what to do; and the facts, for programs.
create or replace function auto_backup.notify_text(notice_id bigint, language text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $body$
#variable_conflict use_variable
declare
    pt constant boolean := language is distinct from 'en';
    notice auto_backup.notices;
    document jsonb;
    incident auto_backup.incidents;
    run auto_backup.runs;
    drill auto_backup.drills;
    said auto_backup.codes;
    subject text; -- the event, or of the end of an incident its kind
    scheduled text;
    zone text;
    cause text; -- a code
    title text;
    what text;
    detail text;
    advice text;
    losses jsonb;
    last_success timestamptz;
begin
    select n.* into notice from auto_backup.notices n where n.notice_id = notify_text.notice_id;
    select s.document into document from auto_backup.settings s where s.backup = notice.backup;
    select i.* into incident from auto_backup.incidents i where i.incident_id = notice.incident_id;
    select r.* into run from auto_backup.runs r where r.run_id = notice.run_id;
    select d.* into drill from auto_backup.drills d where d.drill_id = notice.drill_id;
    scheduled := coalesce(incident.schedule, run.schedule);
    zone := coalesce(document #>> array['schedules', scheduled, 'zone'], document ->> 'timezone', 'UTC');
    losses := auto_backup.drill_losses(drill.drill_id);
    subject := case when notice.event = 'recovered' then incident.kind else notice.event end;
    cause := case
        when subject in ('start', 'success') then null -- of a start that is told late, the run may have failed
        when subject = 'fidelity' then losses #>> '{0,code}'
        else coalesce(incident.code, run.code)
    end;
    if cause is not null then
        said := auto_backup.lookup(cause, case when subject in ('failed', 'fail') then run.sqlstate end);
        detail := coalesce(incident.error, case when notice.channel = 'heartbeat' then run.error end);
        if said.code not in (cause, 'http_*') then
            detail := concat_ws(': ', cause, nullif(detail, ''));
        end if;
        advice := case when pt then 'O que fazer: ' || said.advice || '.' else 'What to do: ' || said.remedy end;
    end if;

    if subject in ('failed', 'fail') then
        title := case
            when pt and cause = 'interrupted' then format('Backup automático %s foi interrompido', notice.backup)
            when pt then format('Backup automático %s falhou', notice.backup)
            when cause = 'interrupted' then format('The backup %s was interrupted', notice.backup)
            else format('The backup %s failed', notice.backup)
        end;
        what := case
            when pt then case
                when scheduled = 'manual' then 'Execução manual de '
                else concat_ws(', ', 'Agendamento ' || scheduled, 'tentativa ' || run.attempt, 'previsto para ')
            end || format('%s. Motivo: %s.', auto_backup.local_time(coalesce(incident.due_at, run.due_at), zone), said.reason)
            else case
                when scheduled = 'manual' then 'Manual run of '
                else concat_ws(', ', 'Schedule ' || scheduled, 'attempt ' || run.attempt, 'due ')
            end || format('%s. %s.', auto_backup.local_time(coalesce(incident.due_at, run.due_at), zone, 'en'), said.meaning)
        end;
        if subject = 'failed' and incident.recovered_at is null and run.trigger <> 'manual'
            and run.attempt <= coalesce((document #>> '{retry,attempts}')::integer, 0)
            and not exists (
                select from auto_backup.runs r
                where r.backup = run.backup and r.schedule = run.schedule and r.due_at = run.due_at and r.attempt > run.attempt
            )
        then
            advice := case
                when pt then 'Uma nova tentativa será feita automaticamente. Se ela também falhar: ' || said.advice || '.'
                else 'It will be tried again automatically. If that fails too: ' || said.remedy
            end;
        end if;
    elsif subject = 'overdue' then
        title := case when pt then format('Backup automático %s está atrasado', notice.backup) else format('The backup %s is overdue', notice.backup) end;
        select max(r.finished_at) into last_success
        from auto_backup.runs r
        where r.backup = notice.backup and r.state = 'succeeded' and r.finished_at <= incident.opened_at;
        what := case
            when pt then overlay(auto_backup.incident_reason(incident) placing upper(left(auto_backup.incident_reason(incident), 1)) from 1 for 1) || '.'
            when last_success is null then said.meaning || '. There has been none yet.'
            else format('%s. The last success was at %s.', said.meaning, auto_backup.local_time(last_success, zone, 'en'))
        end;
        detail := null;
    elsif subject = 'drill' then
        title := case
            when pt then format('O teste de restauração do backup automático %s falhou', notice.backup)
            else format('The restore drill of the backup %s failed', notice.backup)
        end;
        what := case when pt then format('Motivo: %s.', said.reason) else said.meaning || '.' end;
    elsif subject = 'offsite' then
        title := case
            when pt then format('A cópia externa do backup automático %s no destino %s falhou', notice.backup, notice.destination)
            else format('The off-site copy of the backup %s to %s failed', notice.backup, notice.destination)
        end;
        what := case
            when pt then format('Motivo: %s. O backup no banco de dados não foi afetado.', said.reason)
            else said.meaning || '. The backup in the database is not affected.'
        end;
    elsif subject = 'fidelity' then
        title := case
            when pt then format('O backup automático %s não guarda tudo', notice.backup)
            else format('The backup %s does not keep everything', notice.backup)
        end;
        what := case
            when pt then format('Teste de restauração de %s: %s. O detalhe traz o número de linhas.', auto_backup.local_time(drill.started_at, zone), said.reason)
            else format('Restore drill of %s: %s. The detail has the numbers of rows.', auto_backup.local_time(drill.started_at, zone, 'en'), lower(left(said.meaning, 1)) || substr(said.meaning, 2))
        end;
        select string_agg(format('%s (%s)', l.value ->> 'object', l.value ->> 'rows'), ', ' order by l.place) into detail
        from jsonb_array_elements(losses) with ordinality as l (value, place);
    elsif subject = 'start' then
        title := case when pt then format('Backup automático %s iniciado', notice.backup) else format('The backup %s has started', notice.backup) end;
    elsif subject = 'success' then
        title := case when pt then format('Backup automático %s concluído', notice.backup) else format('The backup %s was made', notice.backup) end;
        what := case when pt then run.records || ' registros, ID ' else run.records || ' records, ID ' end || run.backup_id || '.';
    end if;

    if notice.event = 'recovered' then
        title := case subject
            when 'drill' then case
                when pt then format('O teste de restauração do backup automático %s voltou a ter sucesso', notice.backup)
                else format('The restore drill of the backup %s succeeds again', notice.backup)
            end
            when 'offsite' then case
                when pt then format('A cópia externa do backup automático %s no destino %s voltou a funcionar', notice.backup, notice.destination)
                else format('The off-site copy of the backup %s to %s works again', notice.backup, notice.destination)
            end
            else case
                when pt then format('Backup automático %s voltou a funcionar', notice.backup)
                else format('The backup %s works again', notice.backup)
            end
        end;
        what := case
            when pt then format(
                'Sucesso em %s%s. O problema começou em %s: %s.', auto_backup.local_time(notice.happened_at, zone),
                case when incident.recovered_by is not null then ', com ' || run.records || ' registros' else '' end,
                auto_backup.local_time(incident.opened_at, zone), said.reason
            )
            else format(
                'It succeeded at %s%s. The problem began at %s: %s.', auto_backup.local_time(notice.happened_at, zone, 'en'),
                case when incident.recovered_by is not null then ' with ' || run.records || ' records' else '' end,
                auto_backup.local_time(incident.opened_at, zone, 'en'), lower(left(said.meaning, 1)) || substr(said.meaning, 2)
            )
        end;
        detail := null;
        advice := null;
    elsif incident.recovered_at is not null then
        what := what || case
            when pt then ' Resolvido em ' || auto_backup.local_time(incident.recovered_at, zone) || '.'
            else ' It was over at ' || auto_backup.local_time(incident.recovered_at, zone, 'en') || '.'
        end;
    end if;

    return jsonb_strip_nulls(jsonb_build_object(
        'title', title, 'what', what, 'detail', nullif(auto_backup.plain(detail, 300), ''), 'advice', advice,
        'facts', jsonb_build_object(
            'backup', notice.backup, 'event', notice.event, 'incident', notice.incident_id, 'kind', incident.kind,
            'schedule', scheduled, 'due_at', auto_backup.rfc3339(coalesce(incident.due_at, run.due_at)),
            'attempt', run.attempt, 'run_id', notice.run_id, 'destination', notice.destination, 'drill', notice.drill_id,
            'code', cause, 'opened_at', auto_backup.rfc3339(incident.opened_at), 'recovered_at', auto_backup.rfc3339(incident.recovered_at),
            'backup_id', case when notice.event in ('success', 'recovered') then run.backup_id end,
            'records', case when notice.event in ('success', 'recovered') then run.records end
        )
    ));
end
$body$;
