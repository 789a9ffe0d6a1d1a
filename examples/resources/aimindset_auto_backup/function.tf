variable "report_key" {
  type      = string
  default   = "nothing-secret"
  ephemeral = true # never in the state or in a plan
}

resource "aimindset_auto_backup" "this" {
  function = {
    rpc          = "backup_all_data"
    verify_table = "backup_articles"
  }

  # An additional secret for the project's functions.
  secrets = { REPORT_KEY = var.report_key }
}
