data "aimindset_auto_backup_status" "this" {}

check "last_night" {
  assert {
    condition     = data.aimindset_auto_backup_status.this.healthy
    error_message = data.aimindset_auto_backup_status.this.summary
  }
}
