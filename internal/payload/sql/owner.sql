-- pg_cron's jobs belong to the role that schedules them, and on Supabase this
-- is postgres: a job of another role is a second job of the same name.
do $do$
begin
    if current_user <> 'postgres' then
        raise exception 'this is role %, and the jobs have to belong to postgres; connect as postgres', current_user;
    end if;
end
$do$;
