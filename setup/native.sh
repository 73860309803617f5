#!/bin/sh
# Builds the filter as a dynamic module of Envoy: setup/native.sh OUTPUT [FEATURE]
#
# Prints its digest, and the glibc version that it needs at run time. Build it on a system that is as old as
# the oldest system that it will run on.
set -eu
cd "$(dirname "$0")/.."

output=$1
feature=${2:-}

# Panic messages contain the paths of source files. Remap them, so that every machine builds the same bytes.
remap="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$PWD=/session-guard"

set -- rustc --profile native --lib --crate-type cdylib --package session-guard-native
[ -z "$feature" ] || set -- "$@" --features "$feature"
# A separate target directory, because the flags differ from those of other builds.
RUSTFLAGS="${RUSTFLAGS:-} $remap" cargo "$@" --target-dir target/native
mkdir -p "$(dirname "$output")"
cp target/native/native/libsession_guard_native.so "$output.new" # a running Envoy may have mapped the old one
mv "$output.new" "$output"

sha256sum "$output" 2>/dev/null || shasum -a 256 "$output"
glibc=$(LC_ALL=C grep -ao 'GLIBC_[0-9][0-9.]*' "$output" | sort -Vu | tail -1)
[ -z "$glibc" ] || echo "needs ${glibc#GLIBC_} or newer of glibc; Envoy 1.40 (ABI v0.2.0)"
