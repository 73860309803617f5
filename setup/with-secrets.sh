#!/bin/sh
# Runs a program with its secrets in its environment: with-secrets PROGRAM [ARGUMENT …]
#
# Each file of the directory that SECRETS_DIRECTORY names is a variable: its name and its value. What
# the environment holds already wins, unless it is empty. So secrets may come as variables, or as
# files of a volume, of Docker (/run/secrets) or of Kubernetes.
set -eu

for file in "${SECRETS_DIRECTORY:-/run/session-guard}"/*; do
    [ -f "$file" ] || continue
    name=${file##*/}
    case $name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
    eval "value=\${$name:-}"
    [ -n "$value" ] || value=$(cat "$file")
    export "$name=$value"
done
unset value # a variable of that name in the environment would have been exported again
exec "$@"
