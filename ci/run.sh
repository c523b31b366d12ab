#!/bin/sh
# Sets up, builds, and runs the suite in scenarios/: on the simulated card.
#   ci/run.sh [PATH or option of "oomlab run"...]     e.g. ci/run.sh scenarios/leak --jobs 4
# Writes oomlab-out/results.json, junit.xml and summary.md; the exit code is that of "oomlab run".
set -eu
cd "$(dirname "$0")/.."

ci/setup.sh
echo "building ..." >&2
cmake --preset release -G Ninja -DOOL_BUILD_TESTS=OFF >build.log 2>&1 && cmake --build build >>build.log 2>&1 || {
    cat build.log >&2
    rm -f build.log
    exit 3
}
rm -f build.log

mkdir -p oomlab-out
if [ $# -eq 0 ]; then
    set -- scenarios
fi
exec build/oomlab run --results oomlab-out/results.json --junit oomlab-out/junit.xml \
    --markdown oomlab-out/summary.md "$@"
