#!/bin/sh
# Sets up, builds, and runs the suite in scenarios/ on the simulated card.
#   ci/run.sh [PATH or option of "oomlab run"...]     e.g. ci/run.sh scenarios/leak --jobs 4
# Writes oomlab-out/results.json, junit.xml and tables.txt; the exit code is that of "oomlab run".
set -eu
cd "$(dirname "$0")/.."

ci/setup.sh
echo "building ..." >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset release -G Ninja -DOOL_BUILD_TESTS=OFF && cmake --build build; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 3
fi

mkdir -p oomlab-out
status=0
build/oomlab run --results oomlab-out/results.json --junit oomlab-out/junit.xml \
    --table oomlab-out/tables.txt --grid - "$@" || status=$?
echo "written: oomlab-out/tables.txt (a table for each scenario), results.json, junit.xml" >&2
exit "$status"
