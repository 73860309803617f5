#!/bin/sh
# Runs the tests of the dynamic module's shared memory with ThreadSanitizer, which finds data races.
#
# The standard library is built with the sanitizer, too, so that it sees the locks. That needs a nightly
# toolchain with its source: `rustup toolchain install nightly --component rust-src`.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-Zsanitizer=thread" TSAN_OPTIONS="halt_on_error=1" \
    cargo +nightly test -Zbuild-std --target "$host" --target-dir target/thread-sanitizer \
    --package session-guard-core --lib shared::store::
