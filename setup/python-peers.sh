#!/bin/sh
# Installs third-party Python programs for tests and benchmarks: setup/python-peers.sh NAME installs
# setup/NAME-requirements.txt from PyPI once below target/, linked as target/NAME.
set -eu
cd "$(dirname "$0")/.."

name=$1
say() { echo "setup/$name: $*" >&2; }

pin=$(cat "setup/$name-requirements.txt" setup/python-peers.sh | cksum | cut -d' ' -f1)
home=target/setup/$name-$pin
if [ ! -e "$home/installed" ]; then
    . setup/python.sh
    say "installing $(sed -n 's/^\([a-z][^=]*\)==.*/\1/p' "setup/$name-requirements.txt" | paste -sd ' ')" \
        "from PyPI below target/ (once)"
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "setup/$name-requirements.txt"
    touch "$home/installed" # last, so that an interrupted installation starts again
fi
ln -sfn "setup/${home##*/}" "target/$name"
