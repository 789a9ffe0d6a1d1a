resource "aimindset_auto_backup" "this" {
  retention = { keep_last = 7, weekly = 8, monthly = 12 }
}
