-- Writes the rows of public.backup_logs that were locked when their runs ended, less than
-- a day ago. Returns the problems.
create or replace function auto_backup.close_again(backup text, at timestamptz)
returns jsonb
language plpgsql
set search_path = ''
as $body$
declare
    run auto_backup.runs;
    problem text;
    problems jsonb := '[]';
    began constant timestamptz := clock_timestamp();
begin
    for run in
        select r.*
        from auto_backup.runs r
        inner join public.backup_logs l on l.id = r.run_id
        where r.backup = close_again.backup and r.row_open and r.state in ('succeeded', 'failed')
        and r.finished_at > close_again.at - interval '1 day' and r.finished_at <= close_again.at
        -- What the watchdog could not log either is closed again as a whole.
        and r.logged_by is not null and (r.code = 'interrupted' or (r.state = 'succeeded' and r.logged_by = 'function'))
        -- The function's text is short.
        and case when pg_column_size(l.details) <= 2048 then l.details like 'Backup automático iniciado%' end
        order by r.finished_at
    loop
        -- Each may wait for a lock.
        exit when clock_timestamp() > began + interval '10 seconds';
        problem := auto_backup.close_row(run.run_id);
        if problem is null then
            update auto_backup.runs r set row_open = false where r.run_id = run.run_id;
        else
            problems := problems || to_jsonb(problem);
        end if;
    end loop;
    return problems;
exception
    when others then
        return '[]'; -- auto_backup.evidence says why the table cannot be read.
end
$body$;
