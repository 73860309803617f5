#!/bin/sh
# Runs a program with its secrets in its environment: with-secrets PROGRAM [ARGUMENT …]
#
# Each file in SECRETS_DIRECTORY sets the variable of its name to its content, unless the environment
# already contains a non-empty value. So secrets may be variables, or files of a volume, of Docker
# (/run/secrets) or of Kubernetes.
set -eu

for file in "${SECRETS_DIRECTORY:-/run/session-guard}"/*; do
    [ -f "$file" ] || continue
    name=${file##*/}
    case $name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
    eval "value=\${$name:-}"
    [ -n "$value" ] || value=$(cat "$file")
    export "$name=$value"
done
unset value # if the environment had a variable of this name, it would be exported
exec "$@"
