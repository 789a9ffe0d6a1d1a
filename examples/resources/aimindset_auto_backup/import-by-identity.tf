import {
  to = aimindset_auto_backup.this
  identity = {
    project_ref = "abcdefghijklmnopqrst"
    name        = "auto-backup"
  }
}
