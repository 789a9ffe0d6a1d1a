# "0 6 * * *": São Paulo is three hours behind UTC.
output "schedule" {
  value = provider::aimindset::cron_utc("0 3 * * *", "America/Sao_Paulo")
}
