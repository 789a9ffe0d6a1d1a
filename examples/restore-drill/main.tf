# Every week, the newest off-site copy is restored into an empty PostgreSQL, from the
# bucket alone: see .github/workflows/restore-drill.yml. The project, its database and
# its keys are not involved, so this shows that the copy is enough when they are gone.

terraform {
  required_version = ">= 1.14"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

# No request goes to the project or to the Management API, so any text does as a token.
provider "aimindset" {
  access_token = "unused"
}

variable "copy" {
  description = "Where the copies are: the arguments of the backup's destination."
  type = object({
    endpoint    = string
    region      = string
    bucket      = string
    prefix      = optional(string)
    project_ref = string
    name        = optional(string)
  })
}

variable "access_key_id" {
  description = "Credentials that may list the bucket and read its objects."
  type        = string
  ephemeral   = true
}

variable "secret_access_key" {
  type      = string
  ephemeral = true
  sensitive = true
}

variable "private_key" {
  description = "The RSA private key of a recipient that is kept for drills, as PEM."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "database_url" {
  description = "The empty PostgreSQL that gets the rows."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "check_sql" {
  description = "What must be true of the restored rows."
  type        = list(string)
  default     = ["select count(*) > 0 from public.backup_articles"]
}

action "aimindset_auto_backup_restore" "drill" {
  config {
    endpoint          = var.copy.endpoint
    region            = var.copy.region
    bucket            = var.copy.bucket
    prefix            = var.copy.prefix
    project_ref       = var.copy.project_ref
    name              = var.copy.name
    access_key_id     = var.access_key_id
    secret_access_key = var.secret_access_key
    private_key       = var.private_key

    database_url = var.database_url
    confirm      = "postgres"
    check_sql    = var.check_sql
    result_file  = "result.json"
  }
}
