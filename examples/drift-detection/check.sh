#!/bin/sh
# Checks that the backup is installed as main.tf declares it, and that the last
# one was made. It writes a Markdown summary, at once and at its end: it appends
# it to the file $GITHUB_STEP_SUMMARY or, where that is not set, prints it. Its
# exit status is
#
#   0  nothing differs, and the backup is healthy
#   1  the plan or the status could not be made
#   2  the plan is not empty
#   3  the backup is not healthy
#   4  both
#
# The status is asked for after an error of the plan, too, and the other way
# round: with 1, the summary has the error and what else was found. The exit
# status does not depend on whether anybody reads the summary.
#
# It writes nothing to the project.
set -eu
trap '' PIPE # a reader that leaves early does not change the exit status

# A relative path is one from where the script was called.
summary=${GITHUB_STEP_SUMMARY:-}
case $summary in
'' | /*) ;;
*) summary=$PWD/$summary ;;
esac
unset CDPATH TF_LOG TF_LOG_CORE TF_LOG_PROVIDER
cd "$(dirname "$0")"
export TF_IN_AUTOMATION=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$@" >>"$work/summary"; }

# quote adds a file to the summary verbatim; no text in it ends the block.
quote() {
	say '````text'
	sed 's/`````*/```/g' "$1" >>"$work/summary"
	say '' '````' ''
}

# wrong adds a heading to the summary, and to the log if the summary is elsewhere.
wrong() {
	say "## ❌ $1" ''
	[ -z "$summary" ] || printf '%s\n' "$1" >&2 || :
}

# try runs Terraform and keeps what it says.
try() { terraform "$@" </dev/null >"$work/said" 2>&1; }

drift=0
if ! try init -input=false -no-color; then
	drift=1
	wrong 'terraform init failed'
	quote "$work/said"
else
	try plan -input=false -lock=false -detailed-exitcode -no-color || drift=$?
	case $drift in
	0) say '## ✅ The backup is installed as declared' '' ;;
	2)
		wrong 'The backup is not as declared'
		say 'An apply would do this:' ''
		sed -n '/^Terraform will perform/,/^Plan:/p' "$work/said" | tail -n +2 >"$work/changes"
		[ -s "$work/changes" ] || cp "$work/said" "$work/changes"
		quote "$work/changes"
		;;
	*)
		drift=1
		wrong 'The backup could not be compared with the configuration'
		quote "$work/said"
		;;
	esac
fi

healthy=unknown
if try -chdir=status init -input=false -no-color &&
	try -chdir=status apply -input=false -auto-approve -no-color -state="$work/state" &&
	try -chdir=status output -no-color -state="$work/state" -raw report && cp "$work/said" "$work/report" &&
	try -chdir=status output -no-color -state="$work/state" -raw healthy; then
	healthy=$(cat "$work/said")
	if [ "$healthy" = true ]; then
		say '## ✅ The backup is healthy' ''
	else
		wrong 'The backup is not healthy'
	fi
	cat "$work/report" >>"$work/summary"
	say ''
else
	wrong 'The status of the backup could not be read'
	quote "$work/said"
fi

# Texts from the project must not be commands to whatever reads the log: GitHub takes
# them from lines that begin with "::" and from "##[", Azure from "##vso[", and GitLab
# its sections from control characters.
tr -d '\000-\010\013-\037\177' <"$work/summary" |
	LC_ALL=C sed -e 's/^\([^[:alnum:]]*\)::/\1: :/' -e 's/##\([[:alpha:]]*\)\[/## \1[/g' >"$work/clean"

# Standard output is used as it was given: it cannot be opened by a name if it is a
# socket, and a file that is opened twice has two positions.
if [ -z "$summary" ] || ! cat "$work/clean" >>"$summary"; then
	cat "$work/clean" || printf 'The summary could not be written.\n' >&2 || :
fi

case $drift,$healthy in
0,true) exit 0 ;;
1,* | *,unknown) exit 1 ;;
2,true) exit 2 ;;
0,*) exit 3 ;;
*) exit 4 ;;
esac
