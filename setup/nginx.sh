#!/bin/sh
# Links the NGINX for the tests as target/nginx: the program that NGINX names, else the installed one, else
# Debian's package, unpacked below target/, so that no NGINX is started on this machine.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup/nginx: $*" >&2; }

link() { # the program
    "$1" -V 2>&1 | grep -q -- --with-http_auth_request_module || return 1
    mkdir -p target && ln -sfn "$1" target/nginx
    exit 0
}

if [ -n "${NGINX:-}" ]; then
    link "$NGINX" || { say "NGINX=$NGINX does not run, or has no auth_request module"; exit 1; }
fi
home=$PWD/target/setup/nginx
link "$home/usr/sbin/nginx" || true
if command -v nginx >/dev/null; then link "$(command -v nginx)" || true; fi

command -v apt-get >/dev/null || {
    say "NGINX is missing; install it, or set NGINX=/path/to/nginx"
    exit 1
}
say "unpacking Debian's nginx below target/ (0.5 MB, once)"
rm -rf "$home" && mkdir -p "$home/packages"
# Without root, apt-get cannot refresh its lists; the present ones may suffice.
[ "$(id -u)" != 0 ] || apt-get update -qq
(cd "$home/packages" && apt-get download -qq -o APT::Sandbox::User=root nginx >&2)
dpkg-deb --extract "$home"/packages/nginx_*.deb "$home"
rm -rf "$home/packages"
link "$home/usr/sbin/nginx" || { say "Debian's nginx does not run on this machine; set NGINX=/path/to/nginx"; exit 1; }
