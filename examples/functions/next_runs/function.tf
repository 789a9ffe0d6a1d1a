# The next three backups, for example ["2026-11-24T03:00:00-03:00", …].
output "next_runs" {
  value = provider::aimindset::next_runs("0 3 * * *", "America/Sao_Paulo", plantimestamp(), 3)
}
