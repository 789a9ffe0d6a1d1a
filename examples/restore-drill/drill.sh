#!/bin/sh
# Restores the newest copy, and writes a summary: to the end of the file
# $GITHUB_STEP_SUMMARY or, where that is not set, to standard output. The exit
# status is Terraform's.
status=0
terraform init -input=false >/dev/null || exit
terraform apply -input=false -auto-approve -no-color -invoke=action.aimindset_auto_backup_restore.drill || status=$?
summary() {
  if [ "$status" -eq 0 ]; then
    echo '## ✅ The off-site copy can be restored'
  else
    echo '## ❌ The off-site copy was not restored'
  fi
  if [ -f result.json ]; then
    echo
    jq -r '
      (.source // {} | "Backup \(.backup_id) of \(.made_at), manifest SHA-256 `\(.manifest_sha256)`, sequence \(.sequence)."),
      "",
      "Restored in \(.seconds | round) s: \(.verified.rows) rows of \(.verified.objects) objects were verified.",
      "",
      (if (.assertions | length) > 0 then "| compared | expected | found | |\n|---|---|---|---|" else empty end),
      (.assertions[] | "| \(.subject) | \(.expected) | \(.found) | \(if .ok then "✅" else "❌" end) |"),
      "",
      (.blockers[] | "- \(.problem)"),
      (.passed[] | "- passed over \(.folder): \(.reason)"),
      (.not_covered // [] | .[] | "- not covered: \(.surface): \(.reason)")
    ' result.json
  fi
}
# Standard output need not have a name by which it can be opened again.
if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  summary >>"$GITHUB_STEP_SUMMARY"
else
  summary
fi
exit "$status"
