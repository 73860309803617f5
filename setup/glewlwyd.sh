#!/bin/sh
# Unpacks glewlwyd, an OpenID provider in C, and the libraries that are not installed, below target/ and
# links them as target/glewlwyd. Nothing is installed: the package would start a daemon.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/glewlwyd: $*" >&2; }

home=$PWD/target/setup/glewlwyd
if [ ! -e "$home/usr/bin/glewlwyd" ]; then
    command -v apt-get >/dev/null || {
        say "glewlwyd comes from Debian; without apt-get, leave it out: PROVIDERS=idpyoidc make identity-providers"
        exit 1
    }
    . setup/debian.sh
    [ "$(id -u)" != 0 ] || apt-get update -qq
    needed=$(apt-get install --simulate --no-install-recommends glewlwyd dbconfig-no-thanks | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    say "unpacking Debian's glewlwyd below target/ (4 MB, once)"
    # shellcheck disable=SC2086 # $needed is a list of packages
    unpack_debian "$home" $needed
fi
ln -sfn setup/glewlwyd target/glewlwyd
