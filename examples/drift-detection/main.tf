# A backup, and a pipeline that looks every morning whether it is still
# installed as declared here and whether the last one was made: see check.sh
# and .github/workflows/drift.yml. The pipeline writes nothing to the project,
# so a token and a database role that may only read are enough for it.
#
# It plans against the state of the apply, so give this module the backend that
# you keep your states in.

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
