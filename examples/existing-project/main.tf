# The nightly backup of a project that already runs AIMindset with its two old
# pg_cron jobs. They have the same names as the backup's own jobs, so they are
# adopted, together with an Edge Function "auto-backup" if there is one.

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
  description = "Adopt the existing jobs, function and secrets. If false, the plan lists them and stops."
  type        = bool
  default     = true
}

resource "aimindset_auto_backup" "this" {
  # The jobs auto-backup-daily and auto-backup-secondary, at the times they had.
  schedules = {
    daily     = { cron = "0 3 * * *" }
    secondary = { cron = "0 15 * * *" }
  }

  adopt_existing = var.adopt_existing

  # The apply ends with a complete backup.
  verify = "backup"
}

output "cron_utc" {
  description = "The schedules of the pg_cron jobs in UTC."
  value       = aimindset_auto_backup.this.cron_utc
}
