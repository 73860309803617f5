#!/bin/sh
# Runs a program with its secrets in its environment: with-secrets PROGRAM [ARGUMENT …]
#
# SECRETS_DIRECTORY lists directories, separated by spaces. Each file in them sets the variable of its
# name to its content, unless the environment or an earlier directory has already set a non-empty
# value. Secrets may therefore be variables, or files of a volume, of Docker (/run/secrets) or of
# Kubernetes. A mounted file keeps its owner and its mode, so this user must be able to read it.
set -eu

readable() { # file or directory, mode that lets everybody read it
    [ -r "$1" ] && { [ ! -d "$1" ] || [ -x "$1" ]; } && return
    echo "with-secrets: user $(id -u) cannot read $1: run 'chown $(id -u)' or 'chmod $2' on it" >&2
    exit 1
}

for directory in ${SECRETS_DIRECTORY:-/run/session-guard}; do
    [ ! -d "$directory" ] || readable "$directory" 0755
    for file in "$directory"/*; do
        [ -f "$file" ] || continue
        name=${file##*/}
        case $name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
        readable "$file" 0444
        eval "value=\${$name:-}"
        [ -n "$value" ] || value=$(cat "$file")
        export "$name=$value"
    done
done
unset value # if the environment had a variable of this name, it would be exported
exec "$@"
