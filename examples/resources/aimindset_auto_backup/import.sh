# The ID is <project_ref>/<name>.
terraform import aimindset_auto_backup.this abcdefghijklmnopqrst/auto-backup
