#!/bin/sh
# Sets up, builds and passes the tests: format, both compilers, sanitizers, fuzz smoke, coverage.
#   ci/test.sh            everything
#   ci/test.sh quick      the release build and its tests only
set -eu
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
}
# build PRESET FOLDER [cmake options]: quiet unless it fails
build() {
    preset=$1 folder=$2
    shift 2
    cmake --preset "$preset" -B "$folder" -G Ninja "$@" >"$folder.log" 2>&1 &&
        cmake --build "$folder" >>"$folder.log" 2>&1 || {
        cat "$folder.log" >&2
        exit 1
    }
    rm -f "$folder.log"
}
check() {
    ctest --test-dir "$1" --output-on-failure --no-tests=error -j 2
}

step "packages"
ci/setup.sh --tests

step "release build (gcc) and its tests"
build release build -DCMAKE_C_COMPILER=gcc -DOOL_WERROR=ON
check build
if [ "${1-}" = quick ]; then
    exit 0
fi

step "format"
for file in $(git ls-files '*.c' '*.h'); do
    clang-format --dry-run --Werror "$file" || exit 1
done

step "clang, address and undefined-behaviour sanitizers"
build asan build-asan -DCMAKE_C_COMPILER=clang -DOOL_WERROR=ON
check build-asan

step "fuzz targets, a bounded run over their seeds"
build fuzz build-fuzz
fuzz/smoke.sh build-fuzz/fuzz

step "coverage"
build coverage build-coverage -DCMAKE_C_COMPILER=gcc
ctest --test-dir build-coverage -j 2 --output-on-failure >build-coverage/tests.log || {
    cat build-coverage/tests.log
    exit 1
}
gcovr -r . --object-directory build-coverage --gcov-ignore-parse-errors -e '.*/tests/.*' -e 'fuzz/.*' \
    -s -o build-coverage/coverage.txt | grep -E '^(lines|branches)'

printf '\nall passed\n'
