#!/bin/sh
# Checks that the same source gives the same module in every directory: builds it here, and again from a
# copy in another directory with another CARGO_HOME, and compares the bytes.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

setup/wasm.sh target/session_guard.wasm
git ls-files --cached --others --exclude-standard -z | tar --create --null --files-from - |
    (mkdir "$work/elsewhere" && tar --extract --directory "$work/elsewhere")
mkdir -p "$work/elsewhere/target/setup"
[ ! -e target/setup/wasm-with-debian ] || touch "$work/elsewhere/target/setup/wasm-with-debian"
(cd "$work/elsewhere" && CARGO_HOME="$work/cargo" setup/wasm.sh target/session_guard.wasm)
cmp target/session_guard.wasm "$work/elsewhere/target/session_guard.wasm"
echo "the same bytes from both"
