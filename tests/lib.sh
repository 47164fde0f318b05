# Helpers for the shell tests: source this file, call `check` per claim and `finish` at the end.
#
#   check NAME COMMAND…       runs COMMAND; passes when it exits 0
#   check_output NAME PATTERN COMMAND…   passes when the output (both streams) matches the ERE
#   check_fails NAME PATTERN COMMAND…    passes when COMMAND exits non-zero and its output matches
#   eventually SECONDS COMMAND…   polls until COMMAND succeeds or the time is over
#   reserve_ports             sets `port` to the first of 200 ports that no other test gets while this one runs
#   finish                    prints "N passed, N failed" and exits accordingly
passed=0
failed=0

_ok() { passed=$((passed + 1)); printf 'ok   %s\n' "$1"; }
_not_ok() {
    failed=$((failed + 1))
    printf 'FAIL %s\n' "$1"
    printf '%s\n' "$2" | head -40 | sed 's/^/     | /'
}

check() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then _ok "$name"; else _not_ok "$name" "$out"; fi
}

check_output() {
    local name=$1 pattern=$2 out
    shift 2
    if out=$("$@" 2>&1) && printf '%s' "$out" | grep -qE -- "$pattern"; then
        _ok "$name"
    else
        _not_ok "$name (wanted /$pattern/)" "$out"
    fi
}

check_fails() {
    local name=$1 pattern=$2 out
    shift 2
    if out=$("$@" 2>&1); then
        _not_ok "$name (succeeded)" "$out"
    elif printf '%s' "$out" | grep -qE -- "$pattern"; then
        _ok "$name"
    else
        _not_ok "$name (wanted /$pattern/)" "$out"
    fi
}

eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

# The output of COMMAND equals WANT: for use with eventually.
outputs() {
    local want=$1 out
    shift
    out=$("$@" 2>&1) || { printf '%s\n' "$out"; return 1; }
    [ "$out" = "$want" ] || { printf 'got: %s\n' "$out"; return 1; }
}

output_matches() {
    local pattern=$1 out
    shift
    out=$("$@" 2>&1) || { printf '%s\n' "$out"; return 1; }
    printf '%s' "$out" | grep -qE -- "$pattern" || { printf 'got: %s\n' "$out"; return 1; }
}

# See tests/integration/ports.py. Whatever this shell starts keeps the ports reserved too.
reserve_ports() {
    local block lock directory=/tmp/c8s-test-ports-$UID
    mkdir -p "$directory"
    for block in $(shuf -i 0-89); do
        port=$((12000 + block * 200))
        exec {lock}>"$directory/$block"
        if flock -n "$lock" && [ -z "$(ss -Htln "sport >= :$port and sport < :$((port + 200))")" ]; then return; fi
        exec {lock}>&-
    done
    echo "FAIL all blocks of ports are reserved: see $directory"
    exit 1
}

finish() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
    exit
}
