# The project and the account of the environment: SUPABASE_PROJECT_REF and
# SUPABASE_ACCESS_TOKEN.
provider "aimindset" {}

variable "shop_token" {
  type      = string
  ephemeral = true
}

# A project of another account.
provider "aimindset" {
  alias        = "shop"
  project_ref  = "zyxwvutsrqponmlkjihg"
  access_token = var.shop_token
}

resource "aimindset_auto_backup" "site" {}

resource "aimindset_auto_backup" "shop" {
  provider = aimindset.shop
  timezone = "Europe/Lisbon"
}

data "aimindset_auto_backup_status" "shop" {
  provider   = aimindset.shop
  depends_on = [aimindset_auto_backup.shop]
}

output "shop" {
  value = data.aimindset_auto_backup_status.shop.summary
}
