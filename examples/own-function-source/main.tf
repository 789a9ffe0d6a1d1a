# A backup with an Edge Function of your own, in function/. What the provider
# asks of it stands at its head. The jobs, the token, the watchdog and the
# alerts stay the provider's.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

variable "site_name" {
  description = "Name of the site in the log. A function secret, so it is in no state and no plan."
  type        = string
  default     = "AIMindset"
  ephemeral   = true
}

resource "aimindset_auto_backup" "this" {
  schedules = {
    nightly = { cron = "0 3 * * *" }
  }

  function = { source_dir = "${path.module}/function" }
  secrets  = { SITE_NAME = var.site_name }
}

output "source_files" {
  description = "The deployed files and their SHA-256."
  value       = aimindset_auto_backup.this.source_files
}
