# "terraform test" queries the project and exits with 1 if something is wrong.
# A failed check block of the configuration also counts.

run "last_night" {
  command = plan

  assert {
    condition     = data.aimindset_auto_backup_status.this.consecutive_failures == 0
    error_message = data.aimindset_auto_backup_status.this.summary
  }

  assert {
    condition     = try(data.aimindset_auto_backup_status.this.last_success.age_seconds, 1000000) < 26 * 3600
    error_message = "The last backup is older than 26 hours, or there is none."
  }
}
