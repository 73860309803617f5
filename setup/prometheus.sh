#!/bin/sh
# Which Prometheus runs in the tests? The one that PROMETHEUS names, with promtool beside it, else the
# installed one, else Debian's package, unpacked below target/. Linked as target/prometheus.
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
    link "$(dirname "$PROMETHEUS")" || { say "PROMETHEUS=$PROMETHEUS does not run, or has no promtool beside it"; exit 1; }
fi
home=$PWD/target/setup/prometheus
link "$home/usr/bin" || true
if command -v prometheus >/dev/null; then link "$(dirname "$(command -v prometheus)")" || true; fi

command -v apt-get >/dev/null || {
    say "Prometheus is missing; install it (https://prometheus.io/download/), or set PROMETHEUS=/path/to/prometheus"
    exit 1
}
say "unpacking Debian's prometheus below target/ (25 MB, once)"
rm -rf "$home" && mkdir -p "$home/packages"
# Without root apt-get cannot refresh its lists; those that are there may do.
[ "$(id -u)" != 0 ] || apt-get update -qq
(cd "$home/packages" && apt-get download -qq -o APT::Sandbox::User=root prometheus >&2)
dpkg-deb --extract "$home"/packages/prometheus_*.deb "$home"
rm -rf "$home/packages"
link "$home/usr/bin" || { say "Debian's prometheus does not run on this machine; set PROMETHEUS=/path/to/prometheus"; exit 1; }
