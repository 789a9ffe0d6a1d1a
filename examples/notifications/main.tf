# Who hears of the backups outside the project: a monitor, which is pinged when a backup
# begins, succeeds and fails, and raises an alarm when it hears nothing, also when the whole
# project is paused or gone; the team's channel in Slack; and a program of one's own, which
# gets signed JSON documents about what needs a person at night.
#
# Whoever has one of the URLs can send messages, so they are ephemeral here: neither the
# state nor a plan has them. In the project they are in the vault. They must be the same in
# the plan and in its apply.
#
#   export TF_VAR_heartbeat_url=https://hc-ping.com/...
#   export TF_VAR_slack_url=https://hooks.slack.com/services/...
#   export TF_VAR_pager_url=https://pager.example.com/backups
#   export TF_VAR_pager_secret="whsec_$(openssl rand -base64 32)"

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

# Healthchecks.io, or a service that is compatible with it: set the period to a day and the
# grace time to what a backup and its retry may take, such as two hours.
variable "heartbeat_url" {
  type      = string
  ephemeral = true
}

variable "slack_url" {
  type      = string
  ephemeral = true
}

variable "pager_url" {
  type      = string
  ephemeral = true
}

variable "pager_secret" {
  type      = string
  ephemeral = true
}

resource "aimindset_auto_backup" "this" {
  heartbeat = {
    url      = var.heartbeat_url
    language = "en"
  }

  webhooks = {
    team = {
      url      = var.slack_url
      form     = "slack"
      language = "en"
    }

    pager = {
      url            = var.pager_url
      form           = "generic"
      events         = ["failed", "overdue", "recovered"]
      language       = "en"
      signing_secret = var.pager_secret
    }
  }
}
