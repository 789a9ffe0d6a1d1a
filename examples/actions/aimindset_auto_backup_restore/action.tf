# None of these is in a plan or a state.
variable "bucket_access_key_id" {
  type      = string
  ephemeral = true
}

variable "bucket_secret_access_key" {
  type      = string
  ephemeral = true
  sensitive = true
}

variable "private_key" {
  description = "The RSA private key of a recipient, as PEM."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "target" {
  description = "The URL of the database that gets the rows."
  type        = string
  ephemeral   = true
  sensitive   = true
}

# terraform apply -invoke=action.aimindset_auto_backup_restore.latest
action "aimindset_auto_backup_restore" "latest" {
  config {
    endpoint          = "https://s3.eu-central-1.amazonaws.com"
    region            = "eu-central-1"
    bucket            = "acme-backups"
    prefix            = "prod"
    project_ref       = "abcdefghijklmnopqrst"
    access_key_id     = var.bucket_access_key_id
    secret_access_key = var.bucket_secret_access_key
    private_key       = var.private_key

    database_url = var.target
    confirm      = "postgres" # the target's project reference, or the name of its database
    check_sql    = ["select count(*) > 0 from public.articles"]
    result_file  = "restored.json"
  }
}
