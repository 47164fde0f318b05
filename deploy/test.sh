#!/usr/bin/env bash
# Build and run the tests that CI runs; the last line is "N passed, N failed".
#
#   deploy/test.sh [unit | sim | tsan | integration | e2e | partition | fuzz]…     (default: all, in this order)
#
# unit, sim and integration run in the debug build (AddressSanitizer, UBSan) and in the release build;
# e2e and partition, which start whole clusters and need root, in the release build; tsan builds what has
# threads with ThreadSanitizer; fuzz builds the decoders with clang's fuzzer and runs each for
# C8S_FUZZ_SECONDS (5). Exit code 0 when all passed. Of the tests that live in real time (unit, integration, e2e,
# partition) up to four that fail get a second try, alone: deploy/test_results.py.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1

kinds=("$@")
[ $# -gt 0 ] || kinds=(unit sim tsan integration e2e partition fuzz)
for kind in "${kinds[@]}"; do
    case $kind in
    unit | sim | tsan | integration | e2e | partition | fuzz) ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown kind of test: $kind (unit, sim, tsan, integration, e2e, partition, fuzz)" >&2; exit 2 ;;
    esac
done
case " ${kinds[*]} " in
*" e2e "* | *" partition "* | *" integration "*)
    [ "$(id -u)" = 0 ] || { echo "test.sh: integration, e2e and partition tests need root" >&2; exit 2; } ;;
esac

launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
runs=0
declare -A built

# Configure and build a preset once; TARGET… restricts it.
build() { # PRESET [TARGET…]
    local preset=$1 only=()
    shift
    [ -z "${built[$preset]:-}" ] || return 0
    [ $# -eq 0 ] || only=(--target "$@")
    echo "== build $preset"
    if [ -n "${ahead[$preset]:-}" ]; then
        wait "${ahead[$preset]}" # whether it failed, the build here will tell
    fi
    if ! cmake --preset "$preset" "${launcher[@]}" >"$results/log" 2>&1 ||
        ! cmake --build --preset "$preset" "${only[@]}" >"$results/log" 2>&1; then
        grep -E 'error:|FAILED|CMake Error' "$results/log" | head -30
        tail -5 "$results/log"
        echo "test.sh: the $preset build failed (missing packages? deploy/install-deps.sh installs them)" >&2
        echo "0 passed, 1 failed"
        exit 1
    fi
    built[$preset]=1
}

# Run the tests of a label in a preset's build.
# In the background, while tests mostly wait.
declare -A ahead
build_ahead() { # PRESET TARGET
    (nice -n 10 cmake --preset "$1" "${launcher[@]}" && nice -n 10 cmake --build --preset "$1" --target "$2") >/dev/null 2>&1 &
    ahead[$1]=$!
}

run() { # PRESET LABEL [JOBS]
    echo "== $2 ($1)"
    runs=$((runs + 1))
    ctest --test-dir "build/$1" -L "^$2\$" -j "${3:-1}" --output-on-failure --no-tests=error \
        --test-output-truncation head --output-junit "$results/$runs-$1-$2.xml" 2>&1 | tee "$results/$runs-$1-$2.out" | grep -vE '^(Internal ctest|Test project|    Start )'
    [ "${PIPESTATUS[0]}" -eq 0 ] || touch "$results/failed"
    [ -e "$results/$runs-$1-$2.xml" ] || echo "$2 ($1)" >>"$results/did-not-run"
}

jobs=$(nproc)
for kind in "${kinds[@]}"; do
    case $kind in
    unit)
        build debug && run debug unit "$jobs"
        build release && run release unit "$jobs"
        ;;
    sim)
        build debug && run debug sim "$jobs"
        build release && run release sim "$jobs"
        ;;
    tsan) build tsan tsan_targets && run tsan tsan "$jobs" ;;
    integration)
        build debug
        build release
        [[ " ${kinds[*]} " != *" fuzz "* ]] || build_ahead fuzz fuzz_targets
        # Minutes of waiting for containers, leases, processes that start again; beside the other build's tests.
        (run release waiting; run debug waiting) &
        waiting=$!
        run debug integration
        run release integration
        wait "$waiting"
        ;;
    e2e | partition) build release && run release "$kind" ;;
    fuzz) build fuzz fuzz_targets && run fuzz fuzz "$jobs" ;;
    esac
done

python3 deploy/test_results.py "$root" "$results"
