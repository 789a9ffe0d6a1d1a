# A backup, and a pipeline that checks every morning that it is still installed
# as declared here and that the last one was made: see check.sh and
# .github/workflows/drift.yml. The pipeline writes nothing to the project, so a
# read-only token and a read-only database role are enough for it.
#
# It plans against the state of the apply, so configure a remote backend for
# this module.

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
  schedules = {
    nightly = { cron = "0 3 * * *" }
  }
}
