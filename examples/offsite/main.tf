# A copy of each backup outside the project, encrypted to keys that the project does not
# have: in a bucket of Cloudflare R2 every night, and in one of Amazon S3 once a week, with
# the live tables as well, where nobody who breaks into the project can delete it.
#
# Make two pairs of keys, and keep the private ones apart and away from here. Without a
# private key no copy can be opened:
#
#   openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out first.key.pem
#   openssl pkey -in first.key.pem -pubout -out first.pub.pem
#
# The apply stores, reads and tries to delete an object in each bucket, and says what does
# not work.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

variable "r2_account" {
  type    = string
  default = "0123456789abcdef0123456789abcdef"
}

# Ephemeral values are neither in the state nor in a plan. They must be the same in the
# plan and in its apply.
variable "r2_key" {
  type      = object({ id = string, secret = string })
  ephemeral = true
}

variable "aws_key" {
  type      = object({ id = string, secret = string })
  ephemeral = true
}

variable "verify" {
  type    = string
  default = "probe"
}

locals {
  recipients = [file("${path.module}/first.pub.pem"), file("${path.module}/second.pub.pem")]
}

resource "aimindset_auto_backup" "this" {
  verify = var.verify

  offsite = {
    # R2 has no locks of objects. Lock the bucket there, for example with the resource
    # cloudflare_r2_bucket_lock.
    r2 = {
      endpoint          = "https://${var.r2_account}.r2.cloudflarestorage.com"
      region            = "auto"
      bucket            = "acme-backups"
      prefix            = "prod"
      recipients        = local.recipients
      access_key_id     = var.r2_key.id
      secret_access_key = var.r2_key.secret
    }

    # The bucket has Object Lock, and the key may only write: s3:PutObject and
    # s3:PutObjectRetention.
    aws = {
      endpoint          = "https://s3.eu-central-1.amazonaws.com"
      region            = "eu-central-1"
      bucket            = "acme-backups-locked"
      recipients        = local.recipients
      lock              = { mode = "governance", days = 90 }
      every             = "weekly"
      tables            = ["stored", "live"]
      verify            = "write"
      access_key_id     = var.aws_key.id
      secret_access_key = var.aws_key.secret
    }
  }
}
