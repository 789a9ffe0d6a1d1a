# The nightly backup of a project on which AIMindset already runs, with its two
# old pg_cron jobs. Those bear the names that the backup's own jobs get, so they
# are taken over, together with a function "auto-backup" if there is one.

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
  description = "Take over the jobs, the function and the secrets that are there. Without it, the plan names them and stops."
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

  # The apply ends only when a whole backup was made.
  verify = "backup"
}

output "jobs" {
  description = "The pg_cron jobs with their schedules in UTC."
  value       = { for key, job in aimindset_auto_backup.this.jobs : key => job.utc }
}
