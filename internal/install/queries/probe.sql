-- $1 is the backup. Returns the id of the request.
select to_jsonb(auto_backup.probe($1::text)) as result
