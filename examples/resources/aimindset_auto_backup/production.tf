terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source  = "aimindset/aimindset"
      version = "~> 1.0" # any 1.x; the lock file has the exact one
    }
  }
}

provider "aimindset" {}

resource "aimindset_auto_backup" "this" {
  # An apply that changes something ends with a complete backup.
  verify = "backup"

  lifecycle {
    prevent_destroy = true
  }
}
