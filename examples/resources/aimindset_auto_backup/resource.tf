variable "report_key" {
  type      = string
  default   = "nothing-secret"
  ephemeral = true # never in the state or in a plan
}

resource "aimindset_auto_backup" "this" {
  timezone = "America/Sao_Paulo"

  schedules = {
    nightly = { cron = "0 3 * * *" }
    weekly  = { cron = "30 4 * * sun", timezone = "UTC" }
  }

  # A run succeeds only if this table contains rows of the backup.
  function = { verify_table = "backup_articles" }

  # An additional secret for the project's functions.
  secrets = { REPORT_KEY = var.report_key }

  alert = { source = "Backup da noite", overdue_after = "26h" }
  retry = { attempts = 2, delay = "15m" }

  # An apply ends with a complete backup.
  verify = "backup"
}
