#!/bin/sh
# Runs the fault scenarios of tests/faults.list against real Envoys, services and Redis, and writes one
# table, target/faults/table.md. With names (F02 F14) it runs only those. Exits 0 only if all have passed.
#
# A test prints a measurement as a line that begins with "figure: ".
set -u
cd "$(dirname "$0")/.."

out=target/faults
mkdir -p "$out"
table=$out/table.md
failed=0
cargo build --workspace --quiet || exit 1
printf '| scenario | what happens | result | seconds | figures |\n| --- | --- | --- | --- | --- |\n' >"$table"

wanted=" $* "
while IFS='|' read -r id what target filters; do
    case $id in '' | \#*) continue ;; esac
    case $wanted in "  ") ;; *" $id "*) ;; *) continue ;; esac
    log=$out/$id.log
    began=$(date +%s)
    # shellcheck disable=SC2086 # both are lists of words
    RUST_BACKTRACE=0 cargo test --workspace --quiet $target -- --include-ignored --nocapture $filters </dev/null >"$log" 2>&1
    status=$?
    ran=$(sed -n 's/^test result: .* \([0-9]*\) passed.*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    result="passed ($ran tests)"
    if [ "$status" != 0 ] || [ "$ran" = 0 ]; then
        result="**FAILED**, see $log"
        failed=1
    fi
    figures=$(sed -n 's/^.*figure: //p' "$log" | paste -sd ';' - | sed 's/;/; /g')
    printf '| %s | %s | %s | %s | %s |\n' \
        "$id" "$what" "$result" "$(($(date +%s) - began))" "$figures" | tee -a "$table"
done <tests/faults.list
exit "$failed"
