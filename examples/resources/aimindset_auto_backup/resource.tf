variable "report_key" {
  type      = string
  default   = "nothing-secret"
  ephemeral = true # in no state and no plan
}

resource "aimindset_auto_backup" "this" {
  timezone = "America/Sao_Paulo"

  schedules = {
    nightly = { cron = "0 3 * * *" }
    weekly  = { cron = "30 4 * * sun", timezone = "UTC" }
  }

  # A run succeeds only if this table holds rows of the backup.
  function = { verify_table = "backup_articles" }

  # An extra secret of the project's functions.
  secrets = { REPORT_KEY = var.report_key }

  alert = { source = "Backup da noite", overdue_after = "26h" }
  retry = { attempts = 2, delay = "15m" }

  # An apply ends with a whole backup.
  verify = "backup"
}
