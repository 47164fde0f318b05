#!/usr/bin/env bash
# Run one libFuzzer target for C8S_FUZZ_SECONDS from its seeds, which are not changed. Without that, as CI does: for 5 s, with
# the same random numbers each time, so that a change is judged and not the dice.
#
#   tests/fuzz/run.sh TARGET SEED_DIRECTORY
#
# With C8S_FUZZ_DIR the inputs found are kept below it, for the next run to begin with, and a line is added to
# its file `record`: target, seconds of processor, executions, inputs kept, commit, "ok" or "FOUND".
# A crash leaves its input in the directory that is then named, and the command that repeats it.
set -euo pipefail
target=${1:?target} seeds=${2:?seed directory}
name=${target##*/}
[ -n "$(ls -A "$seeds" 2>/dev/null)" ] || { echo "no seeds in $seeds" >&2; exit 1; }
work=$(mktemp -d)
found=$work/found
[ -z "${C8S_FUZZ_DIR:-}" ] || found=$C8S_FUZZ_DIR/$name
mkdir -p "$found" "$work/crashes"
dice=()
[ -n "${C8S_FUZZ_SECONDS:-}" ] || dice=(-seed=1)
verdict=ok
TIMEFORMAT="%U %S"
{ time "$target" -max_total_time="${C8S_FUZZ_SECONDS:-5}" "${dice[@]}" -timeout=30 -rss_limit_mb=1024 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$work/crashes/" "$found" "$seeds" >"$work/log" 2>&1; } 2>"$work/time" ||
    verdict=FOUND
if [ -n "${C8S_FUZZ_DIR:-}" ]; then
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
    echo "$name $(awk '{ printf "%.0f", $1 + $2 }' "$work/time") ${executions:-0}" \
        "$(find "$found" -type f | wc -l) $(git -C "${0%/*}" rev-parse --short HEAD 2>/dev/null || echo -) $verdict" \
        >>"$C8S_FUZZ_DIR/record"
fi
if [ "$verdict" = ok ]; then
    grep -E 'stat::number_of_executed_units|stat::new_units_added' "$work/log" || true
    rm -rf "$work"
else
    tail -40 "$work/log"
    for input in "$work/crashes"/*; do
        [ -e "$input" ] && echo "repeat with: $target $input"
    done
    exit 1
fi
