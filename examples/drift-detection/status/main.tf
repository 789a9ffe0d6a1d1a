# What check.sh reports of the last backup. It has a module of its own, because
# the age of a backup changes with every look, and a plan beside it would never
# be empty. It manages nothing: its state may be thrown away.

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

# Markdown. What an error in the project says is shown as it stands.
output "report" {
  value = replace(join("\n", concat(
    [local.status.summary, ""],
    [for p in local.status.problems : "- ${p.severity} `${p.code}`: ${p.message} ${p.remedy}"],
  )), "<", "&lt;")
}
