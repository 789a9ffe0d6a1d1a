# "terraform test" installs the backup, verifies it, changes it, and removes it.

run "works" {
  assert {
    condition     = aimindset_auto_backup.this.verified == aimindset_auto_backup.this.verify
    error_message = "The backup does not work."
  }

  assert {
    condition     = aimindset_auto_backup.this.cron_utc["nightly"] == "0 6 * * *"
    error_message = "The schedule is not 3:00 in São Paulo."
  }
}

run "changes_in_place" {
  variables {
    cron = "30 4 * * *"
  }

  assert {
    condition     = aimindset_auto_backup.this.cron_utc["nightly"] == "30 7 * * *"
    error_message = "The schedule did not change."
  }
}

run "refuses_the_name_of_a_live_backup" {
  command = plan

  variables {
    name = "auto-backup"
  }

  expect_failures = [var.name]
}
