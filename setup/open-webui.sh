#!/bin/sh
# Is Open WebUI here, and a browser? Installs the PyPI package into a virtual environment of its own
# below target/, linked as target/open-webui, and takes Debian's chromium.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/open-webui: $*" >&2; }

. setup/debian.sh
command -v chromium >/dev/null || from_debian chromium

needed=setup/open-webui-requirements.txt
pin=$(sha256sum $needed 2>/dev/null || shasum -a 256 $needed)
home=target/setup/open-webui-$(echo "$pin" | cut -c1-12)
if [ ! -e "$home/installed" ]; then
    say "installing $(grep '^open-webui==' $needed) from PyPI below target/:" \
        "7.3 GB with all that it brings, once; Ctrl-C if that is not what you want"
    free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kib" -gt 12000000 ] || { say "less than 12 GB are free here"; exit 1; }
    python=$(command -v python3.11 || command -v python3.12) ||
        { say "it needs Python 3.11 or 3.12"; exit 1; }
    rm -rf "$home"
    "$python" -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --requirement $needed
    touch "$home/installed" # written last: an interrupted set-up starts again
fi
ln -sfn "setup/${home##*/}" target/open-webui
