#!/bin/sh
# Builds the filter: setup/wasm.sh OUTPUT [FEATURE]. PACKAGE=empty-filter setup/wasm.sh OUTPUT builds
# another crate of the workspace, for comparison.
#
# It uses the installed toolchain if that has the target wasm32-wasip1, or if rustup can add the target.
# Otherwise it uses Debian's Rust packages and builds the standard library from source. It remembers that
# choice in target/setup/, so that only the first run waits for rustup's server.
set -eu
cd "$(dirname "$0")/.."

output=$1
feature=${2:-}
package=${PACKAGE:-session-guard}
target=wasm32-wasip1
packages="rustc-web cargo-web rust-web-src lld-22 wasi-libc"
with_debian=target/setup/wasm-with-debian

say() { echo "setup/wasm: $*" >&2; }
. setup/rust.sh

has_packages() {
    command -v dpkg-query >/dev/null || return 1
    for needed in $packages; do
        dpkg-query -W -f '${db:Status-Status}' "$needed" 2>/dev/null | grep -qx installed || return 1
    done
}

use_debian() {
    if ! has_packages; then
        install="apt-get install -y --no-install-recommends $packages"
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            say "the target $target is missing and rustup could not add it. Either:"
            say "  rustup target add $target"
            say "  or, on Debian 12, as root: $install"
            exit 1
        fi
        say "the target $target is missing and rustup could not add it: installing Debian's $packages"
        apt-get update -qq
        $install -qq >&2
    fi
    mkdir -p target/setup && touch "$with_debian"
}

for program in cargo cc; do
    command -v $program >/dev/null && continue
    say "$program is missing: install Rust from https://rustup.rs and a C linker (Debian: gcc)"
    exit 1
done

if has_target $target || { [ ! -e "$with_debian" ] && add_target $target; }; then
    rm -f "$with_debian"
else
    use_debian
fi

flags="-Ctarget-feature=+simd128 $remap" # SIMD: SHA-256 takes two thirds of the time; V8 supports it since 9.1

set -- rustc --profile filter --lib --crate-type cdylib --target $target -p $package
[ -z "$feature" ] || set -- "$@" --features "$feature"
if [ -e "$with_debian" ]; then
    say "building with Debian's Rust (remembered in $with_debian; remove it to try rustup again)"
    built=target/wasm-debian
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld-22 \
        RUSTFLAGS="-Lnative=/usr/lib/wasm32-wasi -Clink-self-contained=no $flags" \
        /usr/bin/cargo "$@" --target-dir $built -Zbuild-std=std,panic_abort
else
    built=target/wasm
    RUSTFLAGS="${RUSTFLAGS:-} $flags" cargo "$@" --target-dir $built
fi

# Envoy calls every callback that a module exports. Remove the exports that the filter does not use.
cargo run --quiet -p trim-exports -- "$built/$target/filter/$(echo "$package" | tr - _).wasm" "$output"
sha256sum "$output" 2>/dev/null || shasum -a 256 "$output"
