#!/bin/sh
# Writes the metrics into the directory that node_exporter got as
# --collector.textfile.directory. If they cannot be read, the file stays as it is, and
# the rule BackupMetricsStale tells.
set -eu
directory=${1:?usage: textfile.sh DIRECTORY}
# A relative path is one from where the script was called.
case $directory in
/*) ;;
*) directory=$PWD/$directory ;;
esac
file=$directory/aimindset_backup.prom
unset CDPATH
cd "$(dirname "$0")"

terraform apply -input=false -auto-approve -no-color >/dev/null
# The collector must not read half a file, so a whole one takes the place of the last.
trap 'rm -f "$file.$$"' EXIT
terraform output -raw metrics >"$file.$$"
chmod 644 "$file.$$"
mv "$file.$$" "$file"
