#!/bin/sh
# Mutation testing of the core: tests/mutants.sh [FILE...]. By default it covers the verifier, the parsers of
# headers and paths, and the revocation set.
#
# cargo-mutants changes one thing at a time and runs the library's tests. tests/mutants.list must contain
# each change that no test detects, with its reason, and after a run over all files nothing else. A run
# takes an hour: each change is a build and a run of the tests, about three seconds on a quiet machine.
# MUTANTS_ARGS=--iterate continues an interrupted run, without the changes that were detected before.
set -eu
cd "$(dirname "$0")/.."

version=27.1.0
home=target/cargo-mutants
tool=$home/bin/cargo-mutants
say() { echo "mutants: $*" >&2; }

if ! "$tool" mutants --version 2>/dev/null | grep -q " $version\$"; then
    say "installing cargo-mutants $version from crates.io below target/ (once)"
    cargo install --quiet --debug --locked --root "$home" --target-dir "$home/build" \
        --version $version cargo-mutants
fi

if [ $# -gt 0 ]; then
    whole=
else
    whole=yes
    set -- 'core/src/token/**' 'core/src/keys/**' core/src/json.rs core/src/headers.rs \
        'core/src/request/**' 'core/src/revocation/**'
fi
for file in "$@"; do
    shift
    set -- "$@" --file "$file"
done

# Dependencies are built once, with the same profile, not in each copy. Exit code 2 (undetected changes) and
# 3 (changes with which the tests do not end) are not failures of the tool.
code=0
CARGO_TARGET_DIR=$PWD/target "$tool" mutants --output target --package session-guard-core \
    --profile mutants --cargo-arg=--lib --timeout 30 --build-timeout 600 ${MUTANTS_ARGS:-} "$@" || code=$?
case $code in 0 | 2 | 3) ;; *) exit $code ;; esac

sed -n 's/^- `\(core/src[^`]*\)`.*/\1/p' tests/mutants.list | sort >target/mutants.known
sed 's/:[0-9]*:[0-9]*:/:/' target/mutants.out/missed.txt | sort >target/mutants.found
new=$(comm -13 target/mutants.known target/mutants.found)
gone=$(comm -23 target/mutants.known target/mutants.found)
say "$(cat target/mutants.out/caught.txt target/mutants.out/timeout.txt | wc -l) seen," \
    "$(wc -l <target/mutants.found) not seen, $(wc -l <target/mutants.out/unviable.txt) do not compile"
if [ -n "$new" ]; then
    say "no test sees these, and tests/mutants.list has no reason for them:"
    echo "$new" >&2
    exit 1
fi
if [ -n "$whole" ] && [ -z "${MUTANTS_ARGS:-}" ] && [ -n "$gone" ]; then
    say "these stand in tests/mutants.list, and are seen or are no more:"
    echo "$gone" >&2
    exit 1
fi
