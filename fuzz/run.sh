#!/bin/sh
# Looks for input that breaks a promise: fuzz/run.sh [TARGET...]; by default all of fuzz_targets/, each
# for FUZZ_SECONDS (20).
#
# libFuzzer comes with its crate and is built by the C++ compiler; what it needs to see of the code,
# any rustc adds. So there is no need for cargo-fuzz and for a nightly toolchain. What it finds on the
# way is kept below target/fuzz/corpus/; what breaks a promise, in target/fuzz/ too.
set -eu
cd "$(dirname "$0")/.."

say() { echo "fuzz: $*" >&2; }

if ! command -v c++ >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "there is no C++ compiler: installing Debian's g++"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends g++ >&2
    else
        say "there is no C++ compiler: install one (Debian: g++)"
        exit 1
    fi
fi

[ $# -gt 0 ] || set -- token headers answers configuration
seconds=${FUZZ_SECONDS:-20}
host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares"
# With --target, programs that run during the build are not fuzzed themselves.
RUSTFLAGS="$(echo $coverage)" cargo build --manifest-path fuzz/Cargo.toml --locked --release --bins \
    --target "$host" --target-dir target/fuzz/build

for target in "$@"; do
    corpus=target/fuzz/corpus/$target
    log=target/fuzz/$target.log
    mkdir -p "$corpus"
    dictionary=
    [ ! -f "fuzz/$target.dict" ] || dictionary=-dict=fuzz/$target.dict
    if ! "target/fuzz/build/$host/release/$target" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix=target/fuzz/"$target"- $dictionary \
        "$corpus" "fuzz/seeds/$target" >"$log" 2>&1; then
        tail -40 "$log" >&2
        say "$target: a promise is broken; the input lies in target/fuzz/, the whole log in $log"
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    say "$target: $runs executions in $seconds s, $(ls "$corpus" | wc -l | tr -d ' ') inputs in the corpus"
done
