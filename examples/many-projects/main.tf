# One configuration for many projects, with one token that can see them all. The
# keys of the map become part of Terraform's addresses, so adding or removing a
# project does not affect the others.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

# It needs only a token: each resource names its project.
provider "aimindset" {}

variable "projects" {
  description = "The projects to back up. The keys are names of your choice."
  type = map(object({
    ref      = string
    cron     = optional(string, "0 3 * * *")
    timezone = optional(string, "America/Sao_Paulo")
  }))
}

resource "aimindset_auto_backup" "site" {
  for_each = var.projects

  project_ref = each.value.ref
  timezone    = each.value.timezone
  schedules   = { nightly = { cron = each.value.cron } }
  alert       = { source = "Falha no backup de ${each.key}" }
}

output "cron_utc" {
  description = "The schedules of each project's pg_cron jobs in UTC."
  value       = { for name, backup in aimindset_auto_backup.site : name => backup.cron_utc }
}
