#!/bin/sh
# Builds the filter as a dynamic module of Envoy: setup/native.sh OUTPUT [FEATURE].
# PACKAGE=empty-module setup/native.sh OUTPUT builds another module.
#
# Prints its digest, and the glibc version that it needs at run time, which depends on the glibc of this
# machine. GLIBC=2.28 uses the C compiler and the linker of zig (from PyPI, 100 MB), which link with that
# version on every machine. With it, TARGET=aarch64-unknown-linux-gnu builds for the other architecture.
set -eu
cd "$(dirname "$0")/.."

output=$1
package=${PACKAGE:-session-guard-native}
feature=${2:-}

say() { echo "setup/native: $*" >&2; }
. setup/rust.sh

set -- rustc --profile native --lib --crate-type cdylib --package "$package"
[ -z "$feature" ] || set -- "$@" --features "$feature"
# A separate target directory, because the flags differ from those of other builds.
set -- "$@" --target-dir target/native
if [ -n "${GLIBC:-}" ]; then
    target=${TARGET:-$(uname -m)-unknown-linux-gnu}
    with_zig "$target.$GLIBC" "$@"
    built=target/native/$target/native
else
    RUSTFLAGS="${RUSTFLAGS:-} $remap" cargo "$@"
    built=target/native/native
fi
mkdir -p "$(dirname "$output")"
cp "$built/lib$(echo "$package" | tr - _).so" "$output.new" # a running Envoy may have mapped the old one
mv "$output.new" "$output"

sha256sum "$output" 2>/dev/null || shasum -a 256 "$output"
glibc=$(LC_ALL=C grep -ao 'GLIBC_[0-9][0-9.]*' "$output" | sort -Vu | tail -1)
[ -z "$glibc" ] || echo "needs ${glibc#GLIBC_} or newer of glibc; Envoy 1.40 (ABI v0.2.0)"
