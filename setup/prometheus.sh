#!/bin/sh
# Links the Prometheus for the tests as target/prometheus: the program that PROMETHEUS names (with promtool
# in the same directory), else the installed one, else Debian's package, unpacked below target/.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/prometheus: $*" >&2; }

link() { # the directory that holds prometheus and promtool
    "$1/promtool" --version >/dev/null 2>&1 || return 1
    "$1/prometheus" --version >/dev/null 2>&1 || return 1
    mkdir -p target && ln -sfn "$1" target/prometheus
    exit 0
}

if [ -n "${PROMETHEUS:-}" ]; then
    link "$(dirname "$PROMETHEUS")" || { say "PROMETHEUS=$PROMETHEUS does not run, or its directory contains no promtool"; exit 1; }
fi
home=$PWD/target/setup/prometheus
link "$home/usr/bin" || true
if command -v prometheus >/dev/null; then link "$(dirname "$(command -v prometheus)")" || true; fi

command -v apt-get >/dev/null || {
    say "Prometheus is missing; install it (https://prometheus.io/download/), or set PROMETHEUS=/path/to/prometheus"
    exit 1
}
say "unpacking Debian's prometheus below target/ (25 MB, once)"
. setup/debian.sh
unpack_debian "$home" prometheus
link "$home/usr/bin" || { say "Debian's prometheus does not run on this machine; set PROMETHEUS=/path/to/prometheus"; exit 1; }
