# Two backups a day, under the names that AIMindset's health panel knows. It
# shows a healthy system when the jobs auto-backup-daily and
# auto-backup-secondary are active, and the newest row "backup_success" of
# system_logs is younger than 25 hours. The SQL function of backup_success.sql
# writes that row; nothing of the application is changed.

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
  description = "Take over the application's own jobs of these names."
  type        = bool
  default     = false
}

resource "aimindset_auto_backup" "this" {
  schedules = {
    daily     = { cron = "0 3 * * *" }
    secondary = { cron = "0 15 * * *" }
  }

  # Calls backup_all_data(), and writes the panel's row when it succeeded.
  function = {
    rpc          = "backup_all_data_for_panel"
    verify_table = "backup_articles"
  }

  adopt_existing = var.adopt_existing
  verify         = "backup"
}
