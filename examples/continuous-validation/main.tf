# A backup whose workspace in HCP Terraform tells when a night went wrong:
# continuous validation evaluates the check block between the runs.
#
# A data source inside a check block serves that check alone. If it cannot be
# read, the check fails with the reason, and the plan goes on. Terraform lists it
# in every plan ("config will be reloaded to verify a check block"), with nothing
# to add, change or destroy. Where a plan has to be empty, use a data source of
# its own, as examples/status does.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

resource "aimindset_auto_backup" "this" {}

check "last_night" {
  data "aimindset_auto_backup_status" "this" {
    depends_on = [aimindset_auto_backup.this]
    require    = ["backup", "drill"] # a restore drill that failed counts, too
  }

  assert {
    condition     = data.aimindset_auto_backup_status.this.healthy
    error_message = data.aimindset_auto_backup_status.this.summary
  }
}
