-- Starts one backup now. $1 is the backup. Answers with the id of the run.
select to_jsonb(auto_backup.start($1::text, 'manual', 'manual', now(), 1)) as result
