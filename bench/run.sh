#!/bin/sh
# run.sh [OOMLAB BENCH_PLAN BENCH_ALLOCATOR]: measure, print a table, write bench/figures.md. See README.md.
# The programs are those of build/ unless they are named; BENCH_TRACES and BENCH_TORCH are for README.md's comparison.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$here/../build
exec nice -n "${BENCH_NICE:-0}" python3 "$here/measure.py" \
    "${1:-$build/oomlab}" "${2:-$build/bench/bench_plan}" "${3:-$build/harness/allocator/bench_allocator}"
