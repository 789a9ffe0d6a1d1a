#!/usr/bin/env bash
# Checks that the backup is installed as main.tf declares it, and that the last
# one was made. It appends a Markdown summary to $GITHUB_STEP_SUMMARY, or prints
# it if that is not set, and exits with
#
#   0  nothing differs, and the backup is healthy
#   1  the check itself failed
#   2  the plan is not empty
#   3  the backup is not healthy
#   4  both
#
# It writes nothing to the project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export TF_IN_AUTOMATION=1
unset TF_LOG TF_LOG_CORE TF_LOG_PROVIDER
summary=${GITHUB_STEP_SUMMARY:-/dev/stdout}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '%s\n' "$@" >>"$summary"; }

# quote adds a file to the summary verbatim.
quote() {
	say '````text'
	cat "$1" >>"$summary"
	say '````'
}

# could_not reports an error with the output of Terraform, and exits.
could_not() {
	say "## ❌ $1" ''
	quote "$2"
	printf '%s\n' "$1" >&2
	exit 1
}

terraform init -input=false -no-color >"$work/log" 2>&1 || could_not 'terraform init failed' "$work/log"
drift=0
terraform plan -input=false -lock=false -detailed-exitcode -no-color >"$work/plan" 2>&1 || drift=$?
case $drift in
0 | 2) ;;
*) could_not 'The backup could not be compared with the configuration' "$work/plan" ;;
esac

inspect() { terraform -chdir=status "$@" >"$work/log" 2>&1 || could_not 'The state of the last backup could not be read' "$work/log"; }
inspect init -input=false -no-color
inspect apply -input=false -auto-approve -no-color -state="$work/status.tfstate"
inspect output -no-color -state="$work/status.tfstate" -raw healthy
healthy=$(cat "$work/log")
inspect output -no-color -state="$work/status.tfstate" -raw report

if [ "$drift" = 0 ]; then
	say '## ✅ The backup is installed as declared' ''
else
	say '## ❌ The backup is not as declared' '' 'An apply would do this:' ''
	sed -n '/^Terraform will perform/,/^Plan:/p' "$work/plan" | tail -n +2 >"$work/changes"
	[ -s "$work/changes" ] || cp "$work/plan" "$work/changes"
	quote "$work/changes"
fi
if [ "$healthy" = true ]; then
	say '## ✅ The backup is healthy' ''
else
	say '## ❌ The backup is not healthy' ''
fi
cat "$work/log" >>"$summary"
say ''

case $drift,$healthy in
0,true) exit 0 ;;
2,true) exit 2 ;;
0,*) exit 3 ;;
*) exit 4 ;;
esac
