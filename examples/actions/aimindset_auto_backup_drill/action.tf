resource "aimindset_auto_backup" "this" {
  drill = {}
}

# terraform apply -invoke=action.aimindset_auto_backup_drill.now
action "aimindset_auto_backup_drill" "now" {
  config {
    name = aimindset_auto_backup.this.name
  }
}

# Find out at once whether the migrations have made the backup impossible to restore.
resource "terraform_data" "migrations" {
  input = filemd5("${path.module}/migrations.sql")

  lifecycle {
    action_trigger {
      events  = [after_update]
      actions = [action.aimindset_auto_backup_drill.now]
    }
  }
}
