-- $1 is a JSON array of the names of the CHECKs to widen.
select to_jsonb(auto_backup.extend_log_constraint($1::jsonb) is null) as result
