# Ephemeral: neither in the state nor in a plan.
variable "ping_url" {
  type      = string
  ephemeral = true
}

variable "slack_url" {
  type      = string
  ephemeral = true
}

resource "aimindset_auto_backup" "this" {
  heartbeat = { url = var.ping_url }

  webhooks = {
    ops = {
      url    = var.slack_url
      form   = "slack"
      events = ["failed", "overdue", "drill", "recovered"]
    }
  }
}
