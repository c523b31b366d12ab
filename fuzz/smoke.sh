#!/bin/sh
# Each fuzz target for a few seconds over its seeds: fuzz/smoke.sh FOLDER [SECONDS]
set -eu
folder=$1 seconds=${2-8}
seeds=$(dirname "$0")/seeds
found=0
for target in "$folder"/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    found=1
    name=$(basename "$target" | sed 's/^fuzz_//')
    work=$(mktemp -d)
    dictionary=$(dirname "$0")/$name.dict
    printf '%s: ' "$name"
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        $([ ! -f "$dictionary" ] || echo "-dict=$dictionary") -artifact_prefix="$work/" \
        "$work" "$seeds/$name" >"$work.log" 2>&1; then
        sed -n 's/^stat::number_of_executed_units: *\([0-9]*\)/\1 inputs, no finding/p' "$work.log"
        rm -rf "$work" "$work.log"
    else
        tail -n 40 "$work.log"
        echo "the input that failed lies in $work"
        exit 1
    fi
done
[ "$found" = 1 ] || { echo "no fuzz target in $folder" >&2; exit 1; }
