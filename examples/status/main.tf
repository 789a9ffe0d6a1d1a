# Did last night's backup happen? For a pipeline that checks every morning. It
# changes nothing, so a read-only token is enough, and the backup may be managed
# by another configuration.

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

check "last_night" {
  assert {
    condition     = local.status.healthy
    error_message = local.status.summary
  }
}

check "the_backup_is_there" {
  assert {
    condition     = try(local.status.stored_backups.newest_id == local.status.last_success.backup_id, false)
    error_message = "The newest backup in the backup tables is not the one that succeeded last."
  }
}

check "somebody_would_be_told" {
  assert {
    condition     = length(local.alert_problems) == 0
    error_message = join(" ", concat(local.alert_problems[*].message, ["Until then, nobody is told when a backup fails."]))
  }
}

locals {
  alert_problems = [for p in local.status.problems : p if startswith(p.code, "alert_") || p.code == "no_subscribers"]
}

output "state" {
  value = local.status.state
}

# When the last backup that was made ended, and how much it holds.
output "last_success" {
  value = local.status.last_success == null ? "none" : format("%s, %s records",
  local.status.last_success.finished_at, coalesce(local.status.last_success.records, "unknown"))
}

# In the time zone of the schedule.
output "next_run" {
  value = try(local.status.next_runs[0].due_at, "none")
}

# What is wrong and what to do about it, most severe first.
output "problems" {
  value = [for p in local.status.problems : "${p.severity}: ${p.message} ${p.remedy}"]
}
