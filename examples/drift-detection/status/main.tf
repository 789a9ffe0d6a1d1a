# What check.sh reports about the last backup. This is a separate module because
# the age of the backup changes all the time, so a plan that contained it would
# never be empty. It manages nothing, so its state can be discarded.

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

# Markdown. Error texts from the project are shown verbatim.
output "report" {
  value = replace(join("\n", concat(
    [local.status.summary, ""],
    [for p in local.status.problems : "- ${p.severity} `${p.code}`: ${p.message} ${p.remedy}"],
  )), "<", "&lt;")
}
