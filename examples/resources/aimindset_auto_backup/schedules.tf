resource "aimindset_auto_backup" "this" {
  timezone = "Europe/Lisbon"

  schedules = {
    nightly = { cron = "30 2 * * *" }
    midday  = { cron = "0 12 * * mon-fri" }
    monthly = { cron = "@monthly", timezone = "UTC" }
  }

  retry = { attempts = 2, delay = "15m" }
  alert = { source = "Backup do site", overdue_after = "26h" }
}
