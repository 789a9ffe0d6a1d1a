# A backup every night, of which old ones are removed: the newest seven are kept, one of
# each of the last eight weeks, and one of each of the last twelve months. Without
# `retention`, every backup is kept and the backup tables grow by one copy a night.
#
# The plan that sets or changes it says how many backups it removes, and from which
# tables. Nothing is removed before a restore drill has been successful.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

resource "aimindset_auto_backup" "this" {
  retention = { keep_last = 7, weekly = 8, monthly = 12 }
}

data "aimindset_auto_backup_status" "this" {
  disk_gb    = 8 # as the project's database settings say
  depends_on = [aimindset_auto_backup.this]
}

locals {
  stored = data.aimindset_auto_backup_status.this.stored_backups
}

check "the_disk_is_large_enough" {
  assert {
    condition     = try(local.stored.days_until_full > 90, true)
    error_message = try("The disk will be full in ${local.stored.days_until_full} days. ${local.stored.assumptions}", "")
  }
}

output "stored_backups" {
  value = local.stored
}
