# What a retention keeps of these backups: the newest two, and the newest of October.
output "retained_backups" {
  value = provider::aimindset::retained_backups(
    ["2026-10-30T06:00:00Z", "2026-10-31T06:00:00Z", "2026-11-20T06:00:00Z", "2026-11-21T06:00:00Z", "2026-11-22T06:00:00Z"],
    { keep_last = 2, monthly = 2 },
    "America/Sao_Paulo",
  )
}
