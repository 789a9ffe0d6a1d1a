# A backup with your own Edge Function, in function/. The comment at the top of
# function/index.ts says what the function has to do. The jobs, the token, the
# watchdog and the alerts are still managed by the provider.

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
  description = "Name of the site in the log. It is stored as a function secret, so it is not in the state or in a plan."
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

output "source_hash" {
  description = "Changes whenever a file of the function changes."
  value       = aimindset_auto_backup.this.source_hash
}
