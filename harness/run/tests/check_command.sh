#!/bin/sh
# The exit codes and the files of "oomlab run" and "oomlab plan": check_command.sh OOMLAB
set -u
oomlab=$1
data=harness/run/tests/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# expect CODE COMMAND...: its exit code
expect() {
    wanted=$1
    shift
    "$@" >"$work/out" 2>"$work/err"
    code=$?
    if [ "$code" != "$wanted" ]; then
        echo "exit $code, expected $wanted: $*"
        cat "$work/out" "$work/err"
        failed=1
    fi
}
# must COMMAND...: it succeeds
must() {
    "$@" || {
        echo "failed: $*"
        failed=1
    }
}

expect 0 "$oomlab" run $data/suite --jobs 2 --results "$work/a.json" --junit "$work/a.xml" --junit-strict "$work/s.xml"
must test -s "$work/a.json" -a -s "$work/a.xml" -a -s "$work/s.xml"
must grep -q '4 cases: 4 pass' "$work/out"
must test ! -s "$work/err"
expect 0 "$oomlab" run $data/suite --jobs 1 --json
must cmp "$work/out" "$work/a.json"
expect 1 "$oomlab" run $data/bad/expects-wrong.json
must grep -q '^FAIL expects-wrong: expected outcome fits' "$work/out"
expect 2 "$oomlab" run $data/bad/speaks-of-none.json
for command in run plan show; do
    expect 2 "$oomlab" $command $data/bad/unknown-mitigation.json
    must grep -q 'unknown-mitigation.json:6:19: error\[E206\]: no mitigation is called "empty-cach"' "$work/err"
    must grep -q '\^\^ empty-cache$' "$work/err"
    must grep -q '6:34: error\[E201\]: checkpointing=0' "$work/err"
    must grep -q '6:53: error\[E202\]: amp=fp8' "$work/err"
    must grep -q 'error\[E201\]: no-grad takes no value' "$work/err"
done
expect 2 "$oomlab" run $data/no-such-folder
expect 2 "$oomlab" run --format html $data/suite
expect 2 "$oomlab" run --mitigation no-such-one $data/suite
expect 2 "$oomlab" run --json --table - $data/suite
expect 3 "$oomlab" run $data/suite --results "$work/no/such/folder/r.json"
expect 4 "$oomlab" run $data/suite --tag no-such-tag --junit "$work/none.xml"
must grep -q 'nothing to run' "$work/none.xml"
expect 4 "$oomlab" run $data/suite --tag no-such-tag --list
expect 0 "$oomlab" run $data/suite --list --tag leak
must test "$(wc -l <"$work/out")" = 3
expect 0 "$oomlab" run $data/suite --table "$work/t.md" --format markdown
must grep -q '^| baseline | oom |' "$work/t.md"
must test ! -s "$work/out"
expect 0 "$oomlab" run $data/suite --format csv
must test "$(head -c 14 "$work/out")" = "case,scenario,"
expect 0 "$oomlab" run --help
expect 0 "$oomlab" plan $data/suite/leak.json --json
must grep -q '"growth": 1048576' "$work/out"
expect 0 "$oomlab" plan $data/suite/fits.json --top 1
must grep -q 'peak in forward: requested 300.0 MiB' "$work/out"
expect 4 "$oomlab" plan $data/suite/fits.json --case no-such-case
expect 2 "$oomlab" plan $data/suite/fits.json --largest batch
expect 2 "$oomlab" plan $data/no-such.json
expect 2 "$oomlab" plan
exit $failed
