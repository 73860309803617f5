#!/bin/sh
# Runs a program with its secrets in its environment: with-secrets PROGRAM [ARGUMENT …]
#
# SECRETS_DIRECTORY lists directories, separated by spaces. Each file in them sets the variable of its
# name to its content, unless the environment or an earlier directory has already set a non-empty
# value. Secrets may therefore be variables, or files of a volume, of Docker (/run/secrets) or of
# Kubernetes.
set -eu

for directory in ${SECRETS_DIRECTORY:-/run/session-guard}; do
    for file in "$directory"/*; do
        [ -f "$file" ] || continue
        name=${file##*/}
        case $name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
        eval "value=\${$name:-}"
        [ -n "$value" ] || value=$(cat "$file")
        export "$name=$value"
    done
done
unset value # if the environment had a variable of this name, it would be exported
exec "$@"
