resource "aimindset_auto_backup" "this" {}
