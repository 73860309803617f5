#!/bin/sh
# Makes target/alertmanager with the programs `alertmanager` and `amtool` for the tests: those that
# ALERTMANAGER names (with amtool in the same directory), else the installed ones, else Debian's package,
# unpacked below target/, so that no Alertmanager is started on this machine.
#
# Debian's program reads its templates from /usr/share/prometheus/alertmanager and has no option for another
# directory (`templates:` in the configuration only adds files). The unpacked copy therefore gets a relative
# path of the same length in place of that one, and runs with target/alertmanager as its working directory.
# Nothing outside target/ changes, and root is not needed.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/alertmanager: $*" >&2; }

link() { # alertmanager, amtool
    "$1" --version >/dev/null 2>&1 || return 1
    "$2" --version >/dev/null 2>&1 || return 1
    mkdir -p target/alertmanager
    ln -sfn "$1" target/alertmanager/alertmanager
    ln -sfn "$2" target/alertmanager/amtool
    exit 0
}

if [ -n "${ALERTMANAGER:-}" ]; then
    link "$ALERTMANAGER" "$(dirname "$ALERTMANAGER")/amtool" || {
        say "ALERTMANAGER=$ALERTMANAGER does not run, or its directory contains no amtool"
        exit 1
    }
fi
home=$PWD/target/setup/alertmanager
link "$home/alertmanager" "$home/usr/bin/amtool" || true
for name in alertmanager prometheus-alertmanager; do
    if command -v $name >/dev/null && command -v amtool >/dev/null; then
        link "$(command -v $name)" "$(command -v amtool)" || true
    fi
done

command -v apt-get >/dev/null || {
    say "Alertmanager is missing; install it (https://prometheus.io/download/), or set ALERTMANAGER=/path/to/alertmanager"
    exit 1
}
say "unpacking Debian's prometheus-alertmanager below target/ (11 MB, once)"
. setup/debian.sh
unpack_debian "$home" prometheus-alertmanager
here=./././././././././././././././././ # as long as the path that it replaces
LC_ALL=C sed "s|/usr/share/prometheus/alertmanager|$here|g" "$home/usr/bin/prometheus-alertmanager" >"$home/alertmanager"
chmod +x "$home/alertmanager"
mkdir -p target/alertmanager
cp "$home"/usr/share/prometheus/alertmanager/*.tmpl target/alertmanager/
link "$home/alertmanager" "$home/usr/bin/amtool" || {
    say "Debian's alertmanager does not run on this machine; set ALERTMANAGER=/path/to/alertmanager"
    exit 1
}
