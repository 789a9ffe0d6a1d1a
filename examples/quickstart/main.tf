# The nightly backup of one Supabase project. The provider reads
# SUPABASE_ACCESS_TOKEN and SUPABASE_PROJECT_REF from the environment.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

variable "cron" {
  description = "When the backup runs: five cron fields, in the time zone of São Paulo."
  type        = string
  default     = "0 3 * * *"
}

resource "aimindset_auto_backup" "this" {
  schedules = {
    nightly = { cron = var.cron }
  }
}

output "cron_utc" {
  description = "The schedules of the pg_cron jobs in UTC."
  value       = aimindset_auto_backup.this.cron_utc
}
