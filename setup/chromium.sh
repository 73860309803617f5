#!/bin/sh
# Links the browser for the tests as target/chromium: the program that CHROMIUM names, else the installed
# chromium or Chrome, else Debian's package. `setup/python-peers.sh browser` installs what drives it.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/chromium: $*" >&2; }
mkdir -p target

for program in "${CHROMIUM:-}" chromium google-chrome; do
    found=$(command -v "$program") || continue
    ln -sfn "$found" target/chromium
    exit 0
done
. setup/debian.sh
from_debian chromium "or set CHROMIUM=/path/to/chromium"
ln -sfn "$(command -v chromium)" target/chromium
