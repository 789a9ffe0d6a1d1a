# Save this as backups.tfquery.hcl and run
#   terraform query -generate-config-out=backups.tf
list "aimindset_auto_backup" "all" {
  provider         = aimindset
  include_resource = true
}

list "aimindset_auto_backup" "shop" {
  provider = aimindset

  config {
    project_refs = ["abcdefghijklmnopqrst"]
  }
}
