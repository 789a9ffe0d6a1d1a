resource "aimindset_auto_backup" "this" {
  adopt_existing = true
}
