resource "aimindset_auto_backup" "this" {}

# terraform apply -invoke=action.aimindset_auto_backup_run.now
action "aimindset_auto_backup_run" "now" {
  config {
    name    = aimindset_auto_backup.this.name
    timeout = "15m"
  }
}

# Back up before the migrations change.
resource "terraform_data" "migrations" {
  input = filemd5("${path.module}/migrations.sql")

  lifecycle {
    action_trigger {
      events  = [before_update]
      actions = [action.aimindset_auto_backup_run.now]
    }
  }
}
