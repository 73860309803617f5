#!/bin/sh
# Which Redis do the tests start? The one that REDIS_SERVER names, else redis-server or valkey-server
# as installed, else Debian's redis-server, installed here; linked as target/redis-server.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/redis: $*" >&2; }

if [ -n "${REDIS_SERVER:-}" ]; then
    [ -x "$REDIS_SERVER" ] || { say "REDIS_SERVER=$REDIS_SERVER is not a program"; exit 1; }
    exit 0
fi

installed() { command -v redis-server || command -v valkey-server; }

if ! installed >/dev/null; then
    . setup/debian.sh
    from_debian redis-server "or set REDIS_SERVER=/path/to/redis-server"
fi
mkdir -p target
ln -sfn "$(installed)" target/redis-server
