#!/usr/bin/env bash
# deploy/test_results.py: who gets a second try, what is told, what is counted. CTest is a script here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/root"
cat >"$work/bin/ctest" <<'EOF'
#!/bin/bash
# ctest … -R ^NAME$ … --output-junit PATH: tests named flaky_… pass.
while [ $# -gt 0 ]; do
    case $1 in -R) name=${2//[\^$]/} ;; --output-junit) path=$2 ;; esac
    shift
done
case $name in flaky_*) status=run ;; *) status=fail ;; esac
echo "<testsuite><testcase name=\"$name\" status=\"$status\"><system-out>FAIL again</system-out></testcase></testsuite>" >"$path"
EOF
chmod +x "$work/bin/ctest"

# results RUN NAME STATUS OUTPUT…: the directory of one run's results
results() {
    local run=$1
    shift
    rm -rf "$work/results"
    mkdir "$work/results"
    {
        echo '<testsuite>'
        while [ $# -gt 0 ]; do
            echo "<testcase name=\"$1\" status=\"$2\"><failure message=\"$2\"/><system-out>$3</system-out></testcase>"
            shift 3
        done
        echo '</testsuite>'
    } >"$work/results/$run.xml"
}
# come_to NAME CODE LAST PATTERN: what they come to
come_to() {
    local out code
    out=$(PATH=$work/bin:$PATH "$here/../deploy/test_results.py" "$work/root" "$work/results" 2>&1)
    code=$?
    check "$1" test "$code $(tail -1 <<<"$out")" = "$2 $3"
    check_output "$1: told" "$4" tr '\n' '~' <<<"$out"
}

results 1-debug-unit a run "" b run ""
come_to "all pass" 0 "2 passed, 0 failed" passed
results 1-debug-unit a run "" b notrun ""
come_to "skipped" 0 "1 passed, 0 failed" 'skipped: b \(debug\)'
results 1-debug-unit a notrun ""
come_to "nothing ran" 1 "0 passed, 0 failed" skipped
results 1-debug-unit a run "" flaky_b fail "[  ERROR   ] --- x == y
[  FAILED  ] one
==7==ERROR: LeakSanitizer: detected memory leaks
SUMMARY: AddressSanitizer: 9 byte(s) leaked in 1 allocation(s)."
come_to "a second try of a unit test, whose leak is of the assertion's making" 0 "2 passed, 0 failed" \
    '---- flaky_b.*second try: flaky_b \(debug\)~    \[  ERROR   \] --- x == y~'
results 1-debug-unit flaky_b fail "==7==ERROR: LeakSanitizer: detected memory leaks"
come_to "a leak of a test that passed" 1 "0 passed, 1 failed" 'FAILED: flaky_b'
results 3-debug-sim flaky_b fail "seed 7"
come_to "a simulator gets none" 1 "0 passed, 1 failed" 'FAILED: flaky_b \(debug\): Failed~    seed 7~'
results 3-tsan-tsan flaky_b fail "FAIL x"
come_to "nor does ThreadSanitizer" 1 "0 passed, 1 failed" 'FAILED: flaky_b'
results 3-debug-sim flaky_b fail "seed 7" flaky_c fail "FAIL $(printf 'c\n     | got\n     | more\n'; printf 'line %d\n' {1..60})
AssertionError: why"
come_to "all that failed is told at the end" 1 "0 passed, 2 failed" \
    'FAILED: flaky_b [^~]*~    seed 7~FAILED: flaky_c [^~]*~    FAIL c~    \| got~    AssertionError: why~0 passed'
results 2-release-integration a run "" flaky_b fail "FAIL first$(printf '\nline %d' {1..40})"
come_to "a second try that passes" 0 "2 passed, 0 failed" 'FAIL first.*line 21~.*line 40~.*second try: flaky_b \(release\)'
results 2-release-e2e bad fail "FAIL first"
come_to "a second try that fails" 1 "0 passed, 1 failed" 'FAILED: bad [^~]*~    FAIL first~    FAIL again~'
results 2-debug-waiting a run "" flaky_b fail "ERROR: AddressSanitizer: heap-use-after-free"
come_to "a finding is no accident" 1 "1 passed, 1 failed" 'FAILED: flaky_b'
results 2-release-integration a run "" flaky_b fail "[ RUN ] something"
echo ' 7/30 Test #43: flaky_b .................***Exception: SegFault  1.16 sec' >"$work/results/2-release-integration.out"
come_to "nor is a crash" 1 "1 passed, 1 failed" 'flaky_b \(release\): Exception: SegFault~'
results 1-release-unit a run "" flaky_b fail "[ RUN ] something"
echo ' 7/30 Test #43: flaky_b ................Subprocess aborted***Exception:   1.16 sec' >"$work/results/1-release-unit.out"
come_to "nor is an abort" 1 "1 passed, 1 failed" 'flaky_b \(release\): Subprocess aborted Exception~'
results 2-release-partition flaky_1 fail "" flaky_2 fail "" flaky_3 fail "" flaky_4 fail "" flaky_5 fail ""
come_to "many failures are no accident" 1 "0 passed, 5 failed" 'FAILED: flaky_1'
results 1-debug-unit a run ""
echo "e2e (release)" >"$work/results/did-not-run"
come_to "a run without results" 1 "1 passed, 1 failed" 'no result of e2e'
results 1-debug-unit a run ""
touch "$work/results/failed"
come_to "CTest failed and no test did" 1 "1 passed, 1 failed" 'without a test that failed'

mkdir -p "$work/root/build"
cp "$(command -v sleep)" "$work/root/build/left"
"$work/root/build/left" 100 &
results 1-debug-unit a run ""
come_to "a process left behind" 1 "1 passed, 1 failed" 'left running by a test'
finish
