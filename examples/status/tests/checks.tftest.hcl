# Tests the checks themselves. It needs no project.

mock_provider "aimindset" {
  alias = "offline"
}

run "a_failing_backup_is_noticed" {
  command = plan

  providers = {
    aimindset = aimindset.offline
  }

  override_data {
    target = data.aimindset_auto_backup_status.this
    values = {
      healthy = false
      state   = "failing"
      summary = "Backup auto-backup is failing: the Edge Function auto-backup is not deployed."
    }
  }

  expect_failures = [check.last_night, check.the_backup_is_there]
}
