# Ephemeral: neither in the state nor in a plan.
variable "bucket_key" {
  type      = object({ id = string, secret = string })
  ephemeral = true
}

resource "aimindset_auto_backup" "this" {
  offsite = {
    s3 = {
      endpoint          = "https://s3.eu-central-1.amazonaws.com"
      region            = "eu-central-1"
      bucket            = "acme-backups"
      recipients        = [file("first.pub.pem"), file("second.pub.pem")]
      lock              = { mode = "governance", days = 30 }
      access_key_id     = var.bucket_key.id
      secret_access_key = var.bucket_key.secret
    }
  }
}
