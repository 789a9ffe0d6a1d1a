terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

# SUPABASE_ACCESS_TOKEN contains the token, SUPABASE_PROJECT_REF the project reference.
provider "aimindset" {}

# Every day at 03:00 in São Paulo, with an e-mail when it fails.
resource "aimindset_auto_backup" "this" {}
