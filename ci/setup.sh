#!/bin/sh
# Installs what building and testing need, from the distribution's packages (Debian, Ubuntu).
#   ci/setup.sh           what building and running need
#   ci/setup.sh --tests   also what the tests need
# Says what is missing and why; changes nothing when all is there. Works as root and with sudo.
set -eu

# "what must work to skip it|package|why"
build='cc --version|gcc|the C compiler
cmake --version|cmake|the build system
ninja --version|ninja-build|runs the build
pkg-config --version|pkg-config|finds the libraries
pkg-config --exists jansson|libjansson-dev|reads and writes JSON
pkg-config --exists zlib|zlib1g-dev|reads gzip files'
tests='pkg-config --exists cmocka|libcmocka-dev|the unit tests
clang --version|clang|second compiler, sanitizers and fuzzing
clang-format --version|clang-format|the formatting check
ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*|libclang-rt-dev|libFuzzer
xmllint --version|libxml2-utils|checks JUnit files against their schemas
python3 -c "import jsonschema"|python3-jsonschema|checks the JSON schemas
gcovr --version|gcovr|the coverage figure'

missing=''
look() {
    while IFS='|' read -r check package why; do
        if ! sh -c "$check" >/dev/null 2>&1; then
            echo "missing: $package ($why)"
        fi
    done <<EOF
$1
EOF
}

report=$(look "$build"; [ "${1-}" != --tests ] || look "$tests")
if [ -z "$report" ]; then
    exit 0
fi
echo "$report"
missing=$(echo "$report" | sed -n 's/^missing: \([^ ]*\) .*/\1/p' | tr '\n' ' ')

if ! command -v apt-get >/dev/null 2>&1; then
    echo "ci/setup.sh: no apt-get here: install the above with your system's package manager" >&2
    exit 3
fi
as_root=''
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "ci/setup.sh: neither root nor sudo: run as root: apt-get install $missing" >&2
        exit 3
    fi
    as_root=sudo
fi
# libclang-rt has the compiler's version in its name on this family of distributions.
case " $missing" in
*' libclang-rt-dev '*)
    version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\).*/\1/p' | head -n 1)
    missing=$(echo "$missing" | sed "s/libclang-rt-dev/libclang-rt-${version:-14}-dev/")
    ;;
esac
echo "installing: $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "ci/setup.sh: the installation failed" >&2
    exit 3
fi
