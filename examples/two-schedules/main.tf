# Two backups a day, with the names that AIMindset's health panel expects. The
# panel reports a healthy system if the jobs auto-backup-daily and
# auto-backup-secondary are active, and the newest row "backup_success" in
# system_logs is less than 25 hours old. The SQL function in backup_success.sql
# writes that row; the application itself is not changed.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

variable "adopt_existing" {
  description = "Adopt the application's own jobs with these names."
  type        = bool
  default     = false
}

resource "aimindset_auto_backup" "this" {
  schedules = {
    daily     = { cron = "0 3 * * *" }
    secondary = { cron = "0 15 * * *" }
  }

  # Calls backup_all_data(), and writes the panel's row on success.
  function = {
    rpc          = "backup_all_data_for_panel"
    verify_table = "backup_articles"
  }

  adopt_existing = var.adopt_existing
  verify         = "backup"
}
