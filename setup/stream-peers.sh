#!/bin/sh
# Clients of streams that others wrote, for the tests: from PyPI, installed once below target/ and
# linked as target/stream-peers.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/stream-peers: $*" >&2; }

pin=$(cat setup/stream-peers-requirements.txt setup/stream-peers.sh | cksum | cut -d' ' -f1)
home=target/setup/stream-peers-$pin
if [ ! -e "$home/installed" ]; then
    . setup/python.sh
    say "installing aiohttp, grpcio and python-socketio from PyPI below target/ (30 MB, once)"
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement setup/stream-peers-requirements.txt
    touch "$home/installed" # written last: an interrupted set-up starts again
fi
ln -sfn "setup/${home##*/}" target/stream-peers
