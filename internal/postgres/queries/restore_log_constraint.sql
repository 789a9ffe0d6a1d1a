select auto_backup.restore_log_constraint() as result
