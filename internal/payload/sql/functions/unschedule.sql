-- Removes jobs by their IDs, a JSON array, and ignores jobs that no longer exist.
-- pg_cron lets only the owner remove a job, so another role's job is removed with that
-- role: before PostgreSQL 16 unless it is a superuser, since then if the present role
-- has created it or may become it anyway. If the role no longer exists, in which case
-- pg_cron runs no jobs at all, it is created for this transaction only.
create or replace function auto_backup.unschedule(ids jsonb)
returns jsonb
language plpgsql
set search_path = ''
set lock_timeout = '60s'
as $body$
declare
    job record;
    me constant name := current_user;
    former constant text := current_setting('role');
    made boolean;
    joined boolean;
    earlier jsonb;
    admitted boolean;
    -- Since PostgreSQL 16, a role is a member of the roles that it has created and may
    -- become them once it grants itself that.
    modern constant boolean := current_setting('server_version_num')::integer >= 160000;
    gone jsonb := '[]';
begin
    for job in
        select j.jobid, j.jobname, j.username from cron.job j where unschedule.ids @> to_jsonb(j.jobid) order by j.jobid
    loop
        if job.username = me then
            perform cron.unschedule(job.jobid);
        else
            begin
                made := not exists (select from pg_catalog.pg_roles r where r.rolname = job.username);
                if made then
                    execute format('create role %I nologin', job.username);
                end if;
                joined := made or not pg_has_role(me, job.username::name, case when modern then 'set' else 'member' end);
                if joined then
                    select to_jsonb(m) into earlier
                    from pg_catalog.pg_auth_members m
                    inner join pg_catalog.pg_roles r on r.oid = m.roleid
                    where r.rolname = job.username and m.member = me::regrole and m.grantor = me::regrole;
                    execute format('grant %I to %I', job.username, me) || case when modern then ' with set true' else '' end;
                end if;
                admitted := not has_schema_privilege(job.username::name, 'cron', 'usage');
                if admitted then
                    execute format('grant usage on schema cron to %I', job.username);
                end if;
                perform set_config('role', job.username, true);
                perform cron.unschedule(job.jobid);
                perform set_config('role', former, true);
                if admitted then
                    execute format('revoke usage on schema cron from %I', job.username);
                end if;
                if joined and earlier is null then
                    execute format('revoke %I from %I', job.username, me);
                elsif joined then
                    execute format('grant %I to %I with set %s', job.username, me, earlier ->> 'set_option');
                end if;
                if made then
                    execute format('drop role %I', job.username);
                end if;
            exception
                when others then
                    raise exception 'the pg_cron job % (%) belongs to role %, and % may not remove it: %',
                        job.jobname, job.jobid, job.username, me, sqlerrm
                    using errcode = 'AB010', hint = case
                        when made then format(
                            'pg_cron runs no job at all while this role does not exist. Have a superuser, on Supabase its support, run: delete from cron.job where jobid = %s', job.jobid
                        )
                        else format('Have %I or a superuser run: select cron.unschedule(%s)', job.username, job.jobid)
                    end;
            end;
        end if;
        gone := gone || to_jsonb(job.jobname);
    end loop;
    return gone;
end
$body$;
