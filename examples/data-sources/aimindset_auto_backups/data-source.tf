# All projects that the token can see.
data "aimindset_auto_backups" "all" {}

check "every_backup" {
  assert {
    condition     = data.aimindset_auto_backups.all.healthy
    error_message = data.aimindset_auto_backups.all.report
  }
}

# One table, the worst first, for a job summary or a chat.
output "report" {
  value = data.aimindset_auto_backups.all.report
}
