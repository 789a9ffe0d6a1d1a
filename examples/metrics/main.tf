# The status of a backup as metrics for Prometheus. A pipeline or a timer runs one of the
# scripts every 15 minutes: textfile.sh writes a file for node_exporter's textfile
# collector, and push.sh gives the metrics to a Pushgateway. Both need a read-only token
# only. alerts.yml has rules for Prometheus.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aimindset = {
      source = "aimindset/aimindset"
    }
  }
}

provider "aimindset" {}

data "aimindset_auto_backup_status" "this" {}

output "metrics" {
  value = data.aimindset_auto_backup_status.this.metrics
}
