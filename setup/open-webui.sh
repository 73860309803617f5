#!/bin/sh
# Installs Open WebUI from PyPI into its own virtual environment below target/, linked as
# target/open-webui, and Debian's chromium.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/open-webui: $*" >&2; }

setup/chromium.sh

needed=setup/open-webui-requirements.txt
pin=$(sha256sum $needed 2>/dev/null || shasum -a 256 $needed)
home=target/setup/open-webui-$(echo "$pin" | cut -c1-12)
if [ ! -e "$home/installed" ]; then
    say "installing $(grep '^open-webui==' $needed) from PyPI below target/:" \
        "7.3 GB with its dependencies, once; press Ctrl-C to cancel"
    free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kib" -gt 12000000 ] || { say "not enough disk space: 12 GB are needed"; exit 1; }
    python=$(command -v python3.11 || command -v python3.12) ||
        { say "Python 3.11 or 3.12 is missing; install one of them"; exit 1; }
    rm -rf "$home"
    "$python" -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --requirement $needed
    touch "$home/installed" # last, so that an interrupted installation starts again
fi
ln -sfn "setup/${home##*/}" target/open-webui
