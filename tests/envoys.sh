#!/bin/sh
# Runs the demo and the smoke tests on each version of Envoy in setup/envoys, lets it load the dynamic
# module, and prints one line per version. The output of each run is kept in target/envoys. `make envoys`
# builds what this needs.
set -eu
cd "$(dirname "$0")/.."

logs=target/envoys
programs=${CARGO_TARGET_DIR:-target}/debug
mkdir -p "$logs"
failed=0

run() { # log, command: prints `passes` or `FAILS`
    log=$1
    shift
    if "$@" >"$log" 2>&1; then echo passes; else echo FAILS; fi
}

secrets="SESSION_SECRET=0123456789abcdef0123456789abcdef SIGNOUT_TOKEN=0123456789abcdef0123456789abcdef"

printf '%-8s  %-7s  %-11s  %s\n' Envoy demo 'smoke tests' 'dynamic module'
for pins in setup/envoys/*.txt; do
    version=$(basename "$pins" .txt)
    setup/envoy.sh "$version"
    export ENVOY="$PWD/target/envoy-$version"
    # One test at a time: each Envoy compiles the module, which takes long if several do so at once.
    demo=$(run "$logs/$version-demo.log" "$programs/demo")
    smoke=$(run "$logs/$version-smoke.log" cargo test --workspace --test smoke -- --test-threads 1)
    # An Envoy with another interface than the module's must refuse to start.
    loads=$(run "$logs/$version-module.log" env $secrets "$ENVOY" --mode validate --config-path envoy/native/envoy.yaml)
    case $version:$loads in
    1.3[0-9].*:FAILS) loads='refused, as it must be' ;;
    1.3[0-9].*:passes) loads='FAILS: loaded' ;;
    esac
    printf '%-8s  %-7s  %-11s  %s\n' "$version" "$demo" "$smoke" "$loads"
    case $demo$smoke$loads in *FAILS*) failed=1 ;; esac
done
[ "$failed" = 0 ] || echo "the output of each run is in $logs" >&2
exit "$failed"
