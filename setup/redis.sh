#!/bin/sh
# Links the Redis for the tests as target/redis-server: the program that REDIS_SERVER names, else the
# installed redis-server or valkey-server, else Debian's redis-server, which it installs.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/redis: $*" >&2; }

if [ -n "${REDIS_SERVER:-}" ]; then
    [ -x "$REDIS_SERVER" ] || { say "REDIS_SERVER=$REDIS_SERVER is not an executable file"; exit 1; }
    exit 0
fi

installed() { command -v redis-server || command -v valkey-server; }

if ! installed >/dev/null; then
    . setup/debian.sh
    from_debian redis-server "or set REDIS_SERVER=/path/to/redis-server"
fi
mkdir -p target
ln -sfn "$(installed)" target/redis-server
