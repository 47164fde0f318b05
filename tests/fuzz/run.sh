#!/usr/bin/env bash
# Run one libFuzzer target for C8S_FUZZ_SECONDS (default 5) from its seeds, which are not changed.
#
#   tests/fuzz/run.sh TARGET SEED_DIRECTORY
#
# A crash leaves its input in the directory that is then named, and the command that repeats it.
set -euo pipefail
target=${1:?target} seeds=${2:?seed directory}
[ -n "$(ls -A "$seeds" 2>/dev/null)" ] || { echo "no seeds in $seeds" >&2; exit 1; }
work=$(mktemp -d)
mkdir "$work/found" "$work/crashes"
if "$target" -max_total_time="${C8S_FUZZ_SECONDS:-5}" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$work/crashes/" "$work/found" "$seeds" >"$work/log" 2>&1; then
    grep -E 'stat::number_of_executed_units|stat::new_units_added' "$work/log" || true
    rm -rf "$work"
else
    tail -40 "$work/log"
    for input in "$work/crashes"/*; do
        [ -e "$input" ] && echo "repeat with: $target $input"
    done
    exit 1
fi
