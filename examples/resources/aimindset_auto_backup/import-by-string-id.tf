import {
  to = aimindset_auto_backup.this
  id = "abcdefghijklmnopqrst/auto-backup"
}
