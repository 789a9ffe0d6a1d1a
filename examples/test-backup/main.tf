# A backup for "terraform test", beside the live one of the same project. The two
# have different names, so whatever happens to the test cannot touch the live one.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

variable "name" {
  description = "The name of the backup. It must not be that of a live one."
  type        = string
  default     = "auto-backup-test"

  validation {
    condition     = endswith(var.name, "-test")
    error_message = "A test destroys what it applies, so the name of its backup must end with \"-test\"."
  }
}

variable "cron" {
  description = "When the backup would run: five cron fields, in the time zone of São Paulo."
  type        = string
  default     = "0 3 * * *"
}

resource "aimindset_auto_backup" "this" {
  name = var.name

  # If a test is killed, what it leaves neither runs nor sends alerts.
  schedules = {
    nightly = { cron = var.cron, enabled = false }
  }
  drill = { enabled = false }
  alert = { enabled = false }
}
