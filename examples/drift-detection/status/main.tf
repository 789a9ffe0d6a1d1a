# What check.sh reports about the last backup. This is a separate module because
# each backup changes it, which is no drift of the configuration. It manages
# nothing, so its state can be discarded.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

data "aimindset_auto_backup_status" "this" {}

locals {
  status = data.aimindset_auto_backup_status.this
}

output "healthy" {
  value = local.status.healthy
}

# Markdown, in which texts from the project mean nothing but themselves.
output "report" {
  value = local.status.report
}
