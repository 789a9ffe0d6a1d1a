-- $1 is the backup. Answers with the id of the request.
select to_jsonb(auto_backup.probe($1::text)) as result
